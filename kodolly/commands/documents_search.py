"""`kodolly documents search`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kodolly.document_store import opened_store, store_options

if TYPE_CHECKING:
    from documents.search.store import Hit

EPILOG = """\b
Examples:
  kodolly documents search '연차휴가는 며칠인가요?' --store handbook
  kodolly documents search 경조금 --store handbook --limit 3 --json
"""


@click.command("search", epilog=EPILOG)
@click.argument("question")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=5, show_default=True, help="Passages, at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the place of each passage.")
@store_options
def command(question: str, limit: int, as_json: bool, name: str, config: Path | None) -> None:
    """Find the passages of a store that fit QUESTION best. Exit code 1 when there is none."""
    from kodolly.echo import echo_json, echo_line, echo_text

    with opened_store(name, config) as store:
        hits = store.search(question, limit)
    if as_json:
        echo_json([dataclasses.asdict(hit) for hit in hits])
    else:
        for number, hit in enumerate(hits, 1):
            echo_line(f"[{number}] {_where(hit)}")
            echo_text(f"{hit.text}\n")
    if not hits:
        echo_line("kodolly: nothing in the store has a word of this question.", err=True)
        raise SystemExit(1)


def _where(hit: "Hit") -> str:
    pages = sorted({span.page for span in hit.spans if span.page is not None})
    page = "" if not pages else f", page {pages[0]}" + (f"-{pages[-1]}" if len(pages) > 1 else "")
    above = " > ".join(hit.headings)
    return f"{hit.name}{page}{f': {above}' if above else ''} ({hit.score:.1f})"
