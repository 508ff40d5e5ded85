"""`kodolly recipes`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly recipes list
  kodolly recipes copy polyglot-ko-5.8b-lora my-recipe.yaml
"""
TABLE: dict[str, str] = {}


@click.group("recipes", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """The recipes that come with kodolly."""
