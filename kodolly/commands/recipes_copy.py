"""`kodolly recipes copy`."""

import shutil
from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly recipes copy polyglot-ko-5.8b-lora my-recipe.yaml
  kodolly recipes copy polyglot-ko-12.8b-full
"""


@click.command("copy", epilog=EPILOG)
@click.argument("name")
@click.argument("target", required=False, type=click.Path(path_type=Path))
def command(name: str, target: Path | None) -> None:
    """Write the shipped recipe NAME to TARGET, NAME.yaml unless given, to be changed there.

    A recipe for several GPUs brings the configuration of `accelerate launch` with it. What is there
    already is not overwritten.
    """
    from common.errors import UserError
    from finetune.models.shipped_recipes import SHARDING, sharded, shipped

    entry = shipped(name)
    target = target or Path(f"{name}.yaml")
    sources = [(entry.path, target)]
    if sharded(entry):
        sources.append((SHARDING, target.parent / SHARDING.name))
    for _, place in sources:
        if place.exists():
            raise UserError(f"{place} is there already.", hint="Name another file, or delete that one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    for source, place in sources:
        shutil.copyfile(source, place)
        echo_line(place)
