"""`kodolly documents rebuild`."""

from pathlib import Path

import click

from kodolly.document_store import opened_store, require_documents, store_options
from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly documents rebuild --store handbook
"""


@click.command("rebuild", epilog=EPILOG)
@store_options
def command(name: str, config: Path | None) -> None:
    """Make the index of a store anew from the text in it: after a change of kodolly or MeCab, which the other
    commands name. The files are not read again."""
    require_documents()
    from documents.search.calibration import calibrate

    with opened_store(name, config) as store:
        echo_line(f"{store.rebuild()} passages indexed.")
        calibrate(store)
