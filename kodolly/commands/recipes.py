"""`kodolly recipes`."""

import click

from kodolly.lazy_group import LazyGroup

TABLE: dict[str, str] = {}


@click.group("recipes", cls=LazyGroup, table=TABLE)
def command() -> None:
    """The recipes that come with kodolly."""
