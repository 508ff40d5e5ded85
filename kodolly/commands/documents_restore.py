"""`kodolly documents restore`."""

from pathlib import Path

import click

from kodolly.document_store import storage_settings

EPILOG = """\b
Examples:
  kodolly documents restore documents-2026-11-28.backup
"""


@click.command("restore", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--replace", is_flag=True, help="Let the backup take the place of the documents that are there."
)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def command(file: Path, replace: bool, config: Path | None) -> None:
    """Put the documents of FILE in place: all of it, or nothing. Stop `kodolly documents serve` first, unless
    it has a database; it indexes the files of vector stores anew."""
    from kodolly.echo import echo_line

    state_dir, url = storage_settings(config)
    from documents.service.backup import restore_storage

    made = restore_storage(file, state_dir, url, replace=replace)
    echo_line(f"{made.files} files, {made.stores} stores")
