"""`kodolly merge`: a group, so that adapters and whole models are merged by different commands."""

import click

from kodolly.lazy_group import LazyGroup

TABLE = {
    "lora": "Merge a LoRA adapter into its base: a complete checkpoint.",
}


@click.group("merge", cls=LazyGroup, table=TABLE)
def command() -> None:
    """Merge an adapter into its base, or several models into one."""
