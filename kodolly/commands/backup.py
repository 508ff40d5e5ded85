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
    """Write the gateway's keys, usage ledger and feedback and the web UI's conversations and studies to FILE,
    each store as of one moment; both may run. A store that is not on this machine, nor in a database that the
    settings name, is told and left out."""
    import asyncio

    from common.store_backup import back_up
    from kodolly.stores import configured_stores, existing_stores, told_rows

    manifest = asyncio.run(back_up(existing_stores(config), file, replace=replace))
    for store in configured_stores(config):
        echo_line(f"{store.file}: {told_rows(manifest, store.file)}")
    echo_line(f"{file}: {file.stat().st_size:,} bytes")
