"""`kodolly eval`."""

import click

from kodolly.lazy_group import LazyGroup

TABLE: dict[str, str] = {}


@click.group("eval", cls=LazyGroup, table=TABLE)
def command() -> None:
    """Measure a checkpoint or a served model."""
