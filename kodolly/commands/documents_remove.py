"""`kodolly documents remove`."""

from pathlib import Path

import click

from kodolly.document_store import document_called, opened_store, store_options

EPILOG = """\b
Examples:
  kodolly documents remove 안내.pdf --store handbook
"""


@click.command("remove", epilog=EPILOG)
@click.argument("documents", nargs=-1, required=True)
@store_options
def command(documents: tuple[str, ...], name: str, config: Path | None) -> None:
    """Take DOCUMENTS, paths or file names, out of a store. The files themselves stay."""
    from kodolly.echo import echo_line

    with opened_store(name, config) as store:
        for found in [document_called(store, document) for document in documents]:
            store.remove(found.source)
            echo_line(f"removed  {found.source}")
