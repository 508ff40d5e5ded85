"""`kodolly documents list`."""

import dataclasses
from pathlib import Path

import click

from kodolly.document_store import opened_store, store_options

EPILOG = """\b
Examples:
  kodolly documents list --store handbook
  kodolly documents list --store handbook --json
"""


@click.command("list", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_options
def command(as_json: bool, name: str, config: Path | None) -> None:
    """List the documents of a store: pages, passages, characters, hidden characters, pages not read."""
    from kodolly.echo import echo_json
    from kodolly.operate.table import table

    with opened_store(name, config) as store:
        known = store.documents()
    if as_json:
        echo_json([dataclasses.asdict(one) for one in known])
        return
    rows = [["NAME", "TITLE", "PAGES", "PASSAGES", "CHARACTERS", "HIDDEN", "NOT READ", "ADDED"]]
    for one in known:
        figures = (one.pages, one.chunks, one.characters, one.hidden_characters, one.problems)
        rows.append([one.name, one.title, *map(str, figures), one.added])
    click.echo("\n".join(table(rows, right=(2, 3, 4, 5, 6))))
