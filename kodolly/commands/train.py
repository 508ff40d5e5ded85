"""`kodolly train`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly train my-recipe.yaml
  kodolly train my-recipe.yaml epochs=1 lora.rank=8 --output runs/trial
"""


@click.command("train", epilog=EPILOG)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--output", type=click.Path(path_type=Path), help="Directory to write.  [default: runs/NAME]")
def command(recipe: Path, overrides: tuple[str, ...], output: Path | None) -> None:
    """Train as RECIPE says: a complete checkpoint (pretrain, full) or an adapter to merge (lora)."""
    from finetune.progress import terminal_report
    from finetune.recipe import base_directory, load_recipe
    from finetune.threads import let_waiting_threads_sleep

    loaded = load_recipe(recipe, overrides)
    if loaded.base:
        base_directory(loaded)
    target = output or Path("runs") / loaded.name
    let_waiting_threads_sleep()
    from finetune.train import train  # torch loads only once the recipe is known to be good

    train(loaded, target, terminal_report())
    click.echo(target)
