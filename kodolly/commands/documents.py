"""`kodolly documents`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly documents add 규정집 안내.pdf --store handbook
  kodolly documents search '연차휴가는 며칠인가요?' --store handbook
  kodolly documents list --store handbook
  kodolly documents show 안내.pdf --store handbook --page 3
  kodolly documents remove 안내.pdf --store handbook
"""
TABLE: dict[str, str] = {
    "add": "Read files into a store; those that have not changed are left alone.",
    "list": "List the documents of a store.",
    "show": "Show what was read of a document.",
    "remove": "Take documents out of a store.",
    "search": "Find passages that fit a question.",
    "ask": "Ask a model with documents, and show what its answer rests on.",
    "bind": "Offer MODEL@STORE, which answers from a store with citations.",
    "unbind": "Offer such a model no more.",
    "backup": "Write all documents to a file.",
    "restore": "Put the documents of a backup in place.",
    "serve": "Start the service of files and vector stores.",
    "rebuild": "Make the index of a store anew, after a change of kodolly or MeCab.",
}


@click.group("documents", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Read papers (PDF, HWPX, HWP, DOCX, PPTX, XLSX, HTML, Markdown, TXT) and search them in Korean."""
