"""`kodolly feedback`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly feedback export --output feedback.jsonl --since 2026-11-01
  kodolly feedback forget browser-4f1c
"""
TABLE: dict[str, str] = {
    "export": "Write votes and ratings to a file, with personal data masked.",
    "forget": "Delete everything that one rater has said.",
}


@click.group("feedback", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Take votes and ratings out of a gateway, or delete those of one rater.

    A key sees its own only: set KODOLLY_ADMIN_TOKEN, or use an admin key, for everybody's.
    """
