"""`kodolly merge`: a group, so that adapters and whole models are merged by different commands."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly merge lora runs/my-adapter models/my-dolly
  kodolly merge models slerp.yaml models/between
"""
TABLE = {
    "lora": "Merge a LoRA or QLoRA adapter into its base, in little memory, with proof.",
    "models": "Merge whole models by mergekit's YAML: slerp, ties, dare_ties, MoE ...",
}


@click.group("merge", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Merge an adapter into its base, or several models into one."""
