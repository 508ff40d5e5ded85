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
    """Put what `kodolly backup` wrote to FILE into the gateway's and the web UI's store: each gets all of it,
    or nothing.

    A backup of an older kodolly, or from another kind of database, will do. Running gateways follow
    within two seconds; logins to the web UI are not in a backup.
    """
    import asyncio

    from common.store_backup import restore
    from kodolly.stores import configured_stores, told_rows

    manifest = asyncio.run(restore(file, configured_stores(config), replace=replace))
    for name in manifest.stores:
        echo_line(f"{name}: {told_rows(manifest, name)}")
    echo_line(f"As of {manifest.created}.")
