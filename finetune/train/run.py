"""`kodolly train`: from a recipe to a complete checkpoint or an adapter."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from finetune.files.whole import whole_directory
from finetune.models.quiet import hide_library_bars, quiet_libraries
from finetune.progress import Report
from finetune.recipes.recipe import Recipe, fingerprint
from finetune.recipes.template_choice import choose_template
from finetune.train.distributed import only_first, rank, sharded, wait_for_all, world_size
from finetune.train.loop import drive
from finetune.train.method import method_of
from finetune.train.prepare import Show, prepare, show_nothing
from finetune.train.run_state import RunState, run_state
from finetune.train.write import write


def train(
    recipe: Recipe,
    output: Path,
    report: Report,
    *,
    restart: bool = False,
    dry_run: bool = False,
    show: Show = show_nothing,
    colour: bool = False,
) -> None:
    """Train as `recipe` says and write `output`, whole or not at all. Raises UserError.

    A killed run resumes from its last training state, unless `restart` begins anew. `show` gets the
    pre-flight's text, with colours if `colour`; with `dry_run` nothing else happens.
    """
    hide_library_bars()
    report = only_first(report)
    show = show if rank() == 0 else show_nothing
    wait_for_all()  # this also chooses the process's device
    mark = f"{fingerprint(recipe, choose_template(recipe).text)} {world_size()}"
    with quiet_libraries(), places(output, mark, restart=restart, dry_run=dry_run) as (directory, state):
        run = prepare(recipe, output, state, report, show, colour)
        if dry_run:
            return
        with quiet_libraries():
            trainer = method_of(recipe).trainer(run.session, run.data, run.validation, run.args)
            if recipe.adapter is not None:
                trainer.lora_plus = recipe.adapter.plus
            outcome = drive(trainer, state)
        weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded() else None
        if rank() == 0:
            write(directory, run, trainer.accelerator.unwrap_model(trainer.model), weights, outcome)
        wait_for_all()


@contextmanager
def places(output: Path, mark: str, *, restart: bool, dry_run: bool) -> Iterator[tuple[Path, RunState]]:
    """Yield (directory that becomes the output, state of the run that `mark` tells from others). Raises
    UserError."""
    with ExitStack() as stack:
        if dry_run:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (scratch / "data").mkdir()
            yield scratch, RunState(scratch, None)
            return
        directory = stack.enter_context(whole_directory(output)) if rank() == 0 else output
        yield directory, stack.enter_context(run_state(output, mark, restart=restart))
