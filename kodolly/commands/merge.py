"""`kodolly merge`: a group, so that adapters and whole models are merged by different commands."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly merge lora runs/my-dolly models/my-dolly
"""
TABLE = {
    "lora": "Merge a LoRA adapter into its base: a complete checkpoint.",
}


@click.group("merge", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Merge an adapter into its base, or several models into one."""
