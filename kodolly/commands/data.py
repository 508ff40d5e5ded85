"""`kodolly data`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly data convert KoAlpaca_v1.1.jsonl rows.jsonl
  kodolly data clean rows.jsonl clean.jsonl
  kodolly data mix clean.jsonl=3 other.jsonl=1 mixed.jsonl
  kodolly data split mixed.jsonl data/
"""
TABLE: dict[str, str] = {
    "convert": "Turn published instruction data into Dolly rows.",
    "from-feedback": "Make training data of votes, ratings, thumbs and corrections.",
    "from-documents": "Let a model write rows about documents, and check them against these.",
    "generate": "Let a model make up rows after seed tasks.",
    "translate": "Translate rows into Korean.",
    "check": "Show what is wrong with Dolly rows.",
    "clean": "Mend Dolly rows, and leave out broken and repeated ones.",
    "mix": "Mix row files by weight.",
    "split": "Split rows into train, validation and test.",
}


@click.group("data", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Turn instruction data into Dolly rows, check, clean, mix and split them."""
