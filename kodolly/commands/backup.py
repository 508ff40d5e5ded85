"""`kodolly backup`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly backup kodolly-2026-11-21.backup
  KODOLLY_GATEWAY_DATABASE_URL=postgresql://... kodolly backup kodolly.backup
"""


@click.command("backup", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Replace FILE if it is there.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(file: Path, replace: bool, config: Path | None) -> None:
    """Write keys, usage ledger and feedback to FILE, all of one moment; the gateway may run."""
    import asyncio

    from common.settings import load_settings
    from server.settings import GatewaySettings
    from server.store.backup import back_up

    settings = load_settings(GatewaySettings, {}, config)
    manifest = asyncio.run(back_up(settings.store_url(), file, replace=replace))
    rows = ", ".join(f"{count:,} {table}" for table, count in manifest.rows.items())
    echo_line(f"{file}: {rows} ({file.stat().st_size:,} bytes)")
