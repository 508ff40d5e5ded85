"""`kodolly train`."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly train my-recipe.yaml
  kodolly train my-recipe.yaml epochs=1 lora.rank=8 --output runs/trial
  kodolly train my-recipe.yaml --dry-run
  kodolly train polyglot-ko-1.3b-full data.0.path=my-rows.jsonl
  torchrun --nproc-per-node 4 -m kodolly train my-recipe.yaml
  kodolly train moderation --help
"""
MODERATION = "moderation"
"""In place of a recipe: what follows trains a moderation model."""


class TrainCommand(click.Command):
    """`train RECIPE`, and `train moderation DATA OUTPUT`, which has no recipe."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the command that `args` are for."""
        if args[:1] == [MODERATION]:
            from kodolly.commands.train_moderation import command as moderation

            return moderation.make_context(f"{info_name} {MODERATION}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("train", cls=TrainCommand, epilog=EPILOG)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--output", type=click.Path(path_type=Path), help="Directory to write.  [default: runs/NAME]")
@click.option("--dry-run", is_flag=True, help="Show rows, counts, memory, disk and time; train nothing.")
@click.option("--restart", is_flag=True, help="Begin anew where a killed run left a state.")
def command(
    recipe: Path, overrides: tuple[str, ...], output: Path | None, dry_run: bool, restart: bool
) -> None:
    """Train as RECIPE says: a checkpoint (pretrain, full, embed) or an adapter to merge (the other methods).
    RECIPE is a file, or the name of one that `kodolly recipes list` shows.

    Before it begins it shows rows as they will be learnt and what the run will take, and learns 20 rows by
    heart; what cannot work is refused. A run that was killed goes on when the same command is given again.
    """
    from common.openmp import let_waiting_threads_sleep
    from finetune.models.quiet import hide_library_notes
    from finetune.models.shipped_recipes import shipped_path
    from finetune.progress import terminal_report
    from finetune.recipes.base import base_of
    from finetune.recipes.load import load_any_recipe
    from finetune.recipes.recipe import EmbeddingTuning, check_files
    from finetune.train.distributed import leave_process_group, rank

    if recipe.exists() or recipe.suffix in (".yaml", ".yml"):
        loaded = load_any_recipe(recipe, overrides)
    else:
        loaded = load_any_recipe(shipped_path(str(recipe)), overrides, folder=Path.cwd())
    base_of(loaded)
    check_files(loaded)
    target = output or Path("runs") / loaded.name
    let_waiting_threads_sleep()
    hide_library_notes()
    show, report = partial(click.echo, err=True), terminal_report()
    if isinstance(loaded, EmbeddingTuning):
        from finetune.embedding.run import train_embedding

        train_embedding(loaded, target, report, restart=restart, dry_run=dry_run, show=show)
    else:
        from finetune.train.run import train  # torch loads only once the recipe is known to be good

        colour = sys.stderr.isatty()
        train(loaded, target, report, restart=restart, dry_run=dry_run, show=show, colour=colour)
    if not dry_run and rank() == 0:
        echo_line(target)
    leave_process_group()
