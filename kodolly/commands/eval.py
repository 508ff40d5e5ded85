"""`kodolly eval`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly eval kobest models/my-dolly --shots 0
  kodolly eval rows models/my-dolly held-out.jsonl
"""
TABLE: dict[str, str] = {}


@click.group("eval", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Measure a checkpoint or a served model."""
