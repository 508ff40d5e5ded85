"""`kodolly restore`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly restore kodolly-2026-11-21.backup
  kodolly restore kodolly.backup --replace      instead of what the store holds
  KODOLLY_GATEWAY_DATABASE_URL=postgresql://... kodolly restore kodolly.backup
"""


@click.command("restore", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Let the backup take the place of what the store holds.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(file: Path, replace: bool, config: Path | None) -> None:
    """Put the keys, usage ledger and feedback of FILE into the store: all of it, or nothing.

    A backup of an older kodolly, or from another kind of database, will do. Running gateways follow
    within two seconds.
    """
    import asyncio

    from common.settings import load_settings
    from server.settings import GatewaySettings
    from server.store.backup import restore

    settings = load_settings(GatewaySettings, {}, config)
    manifest = asyncio.run(restore(file, settings.store_url(), replace=replace))
    rows = ", ".join(f"{count:,} {table}" for table, count in manifest.rows.items())
    echo_line(f"{rows}, as of {manifest.created}")
