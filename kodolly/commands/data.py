"""`kodolly data`."""

import click

from kodolly.lazy_group import LazyGroup

TABLE: dict[str, str] = {}


@click.group("data", cls=LazyGroup, table=TABLE)
def command() -> None:
    """Turn instruction data into Dolly rows, check, clean, mix and split them."""
