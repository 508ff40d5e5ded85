"""`kodolly documents backup`."""

from pathlib import Path

import click

from kodolly.document_store import storage_settings

EPILOG = """\b
Examples:
  kodolly documents backup documents-2026-11-28.backup
"""


@click.command("backup", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Replace FILE if it is there.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(file: Path, replace: bool, config: Path | None) -> None:
    """Write all documents of this machine, or of the database that documents.database_url names, to FILE:
    uploaded files, vector stores, bindings, stores of `kodolly documents add`. The service may run."""
    from kodolly.echo import echo_line

    state_dir, url = storage_settings(config)
    from documents.service.backup import back_up_storage

    made = back_up_storage(state_dir, url, file, replace=replace)
    echo_line(f"{file}: {made.files} files, {made.stores} stores ({file.stat().st_size:,} bytes)")
