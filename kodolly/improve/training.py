"""The steps before anybody sees the new checkpoint: train, merge, measure. Each leaves a whole file or
directory behind, or nothing, in a process of its own whose memory is free when it ends."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from common.checkpoint_identity import checkpoint_id
from common.child_process import ending_with_parent, how_it_ended
from common.errors import UserError
from finetune.data.from_feedback import question_hash
from finetune.data.load import rows_of_file
from finetune.eval.report import write_json
from finetune.improve.gates import Gate, Tolerances, gates
from finetune.improve.measure import Measured, MeasurementPlan
from finetune.improve.rows import HELD_OUT, OLD_ROWS, QUESTIONS
from finetune.rows.row import Pair
from kodolly.improve.journal import Journal, Options

RECIPE, ADAPTER, CHECKPOINT, LOG = "recipe.yaml", "adapter", "checkpoint", "log.txt"
BEFORE, AFTER = "before.json", "after.json"


def train(journal: Journal, lock: int) -> None:
    """Train the adapter, unless it is there already. Raises UserError."""
    directory = journal.directory
    if not (directory / ADAPTER).exists():
        _run(["-m", "kodolly", "train", RECIPE, "--output", ADAPTER], directory, lock)


def merge(journal: Journal, lock: int) -> str:
    """Merge the adapter, proved equal to base with adapter; returns the new checkpoint's id. Raises
    UserError."""
    directory = journal.directory
    if not (directory / CHECKPOINT).exists():
        _run(["-m", "kodolly", "merge", "lora", ADAPTER, CHECKPOINT], directory, lock)
    return checkpoint_id(directory / CHECKPOINT)


def measure(journal: Journal, lock: int) -> None:
    """Measure both checkpoints on the same questions. Raises UserError."""
    base, new = Path(journal.content.plan.base), Path(CHECKPOINT)
    for output, checkpoint in ((BEFORE, base), (AFTER, new)):
        if not (journal.directory / output).exists():
            job = measurement_plan(journal.content.options, checkpoint)
            write_json(journal.directory / f"job-{output}", job.model_dump(mode="json"))
            _run(["-m", "finetune.improve.measure", f"job-{output}", output], journal.directory, lock)


def measurement_plan(options: Options, checkpoint: Path) -> MeasurementPlan:
    """What a checkpoint is measured by, seen from the turn's directory."""

    def path(text: str | None) -> Path | None:
        return None if text is None else Path(text)

    return MeasurementPlan(
        checkpoint=checkpoint,
        held_out=Path(HELD_OUT),
        questions=Path(QUESTIONS),
        old_rows=Path(OLD_ROWS),
        ethics=path(options.ethics),
        moderation=path(options.moderation),
        kobest=path(options.kobest),
        kobest_tasks=options.kobest_tasks,
    )


def judged(journal: Journal) -> list[Gate]:
    """Every gate's finding."""
    directory, options = journal.directory, journal.content.options
    before, after = measured(directory)
    pairs = [pair for pair, _ in rows_of_file(directory / HELD_OUT, Pair)]
    limits = Tolerances(
        old_rows=options.max_forgotten, tasks=options.max_task_loss, length=options.max_longer
    )
    return gates(before, after, [question_hash(pair) for pair in pairs], limits)


def measured(directory: Path) -> tuple[Measured, Measured]:
    """What was measured of the earlier checkpoint, and of the new one. Raises UserError."""
    before, after = (_read_measured(directory / name) for name in (BEFORE, AFTER))
    return before, after


def _read_measured(path: Path) -> Measured:
    try:
        return Measured.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} cannot be read.", hint=f"Move {path.parent} away to begin anew without it."
        ) from error


def _run(arguments: Sequence[str], directory: Path, lock: int) -> None:
    """Raises UserError with the process's own last line. It holds the turn's lock, too: nobody goes on with
    the turn before it is gone."""
    log = directory / LOG
    try:
        opened = log.open("ab")
    except OSError as error:
        raise UserError(f"{log} cannot be written: {error.strerror}.") from error
    with opened as out:
        process = subprocess.run(
            ending_with_parent([sys.executable, *arguments]),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            check=False,
        )
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
        reason = lines[-1].removeprefix("kodolly: ") or how_it_ended(process.returncode)
        raise UserError(reason, hint=f"The whole log: {log}. The same command goes on from here.")
