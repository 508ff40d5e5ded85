"""`kodolly documents show`."""

from pathlib import Path

import click

from common.errors import UserError
from kodolly.document_store import document_called, opened_store, store_options

EPILOG = """\b
Examples:
  kodolly documents show 안내.pdf --store handbook
  kodolly documents show 안내.pdf --store handbook --page 3
"""


@click.command("show", epilog=EPILOG)
@click.argument("document")
@click.option("--page", type=click.IntRange(1), help="Only this page.")
@store_options
def command(document: str, page: int | None, name: str, config: Path | None) -> None:
    """Print the text that was read of DOCUMENT, a path or a file name, page by page."""
    from kodolly.echo import echo_line, echo_text

    with opened_store(name, config) as store:
        found = document_called(store, document)
        pages = store.pages(found.source)
    if page is not None:
        pages = [one for one in pages if one.number == page]
        if not pages:
            raise UserError(f"{found.name} has no page {page}.", hint=f"It has {found.pages} pages.")
    for one in pages:
        if one.number is not None:
            echo_line(
                f"--- {found.name}, page {one.number}{': ' if one.problem else ''}{one.problem}", err=True
            )
        echo_text(one.text)
