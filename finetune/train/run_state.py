"""The state that a run keeps on disk while it trains, so that it can resume: `.NAME.training` beside the
output.

run.json          the recipe and data that the training states belong to
begun             the day on which the run began, for chat templates that ask for the date
data/             token stores of small files
checkpoint-N/     Trainer's training state after step N; `complete` is written last
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from common.errors import UserError
from finetune.files.lock import lock_for
from finetune.train.distributed import rank, wait_for_all

COMPLETE = "complete"
RUN_FILE = "run.json"


@dataclass(frozen=True)
class RunState:
    """The directory of a run's state, and where the run resumes."""

    directory: Path
    checkpoint: Path | None
    """The last complete training state; None for a run that starts from the beginning."""

    def begun(self) -> date:
        """The day on which the run began; a resumed run keeps it."""
        path = self.directory / "begun"
        if self.checkpoint is None or not path.is_file():
            path.write_text(date.today().isoformat(), encoding="ascii")
        return date.fromisoformat(path.read_text(encoding="ascii"))

    @property
    def data(self) -> Path:
        """The directory of token stores."""
        return self.directory / "data"


def logs_directory(output: Path) -> Path:
    """The directory of TensorBoard's files, beside the output. Unlike the run's state it is kept."""
    return output.with_name(f"{output.name}.logs")


@contextlib.contextmanager
def run_state(output: Path, fingerprint: str, *, restart: bool) -> Iterator[RunState]:
    """The run's state for `output`. It is removed when the block ends without an exception, and when there is
    nothing to resume from.

    Raises UserError when another process trains into `output`, and when there is the state of another recipe
    (another `fingerprint`), unless `restart` allows it to be removed.
    """
    directory = output.with_name(f".{output.name}.training")
    if rank() > 0:
        wait_for_all()  # the first process makes the directory and decides what stays
        yield RunState(directory, last_checkpoint(directory))
        return
    (directory / "data").mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        lock_for(output, lock)
        _settle(directory, output, fingerprint, restart)
        wait_for_all()
        try:
            yield RunState(directory, last_checkpoint(directory))
        except BaseException:
            if last_checkpoint(directory) is None:
                shutil.rmtree(directory, ignore_errors=True)
            raise
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        os.close(lock)


def last_checkpoint(directory: Path) -> Path | None:
    """The complete training state with the most steps; None without one."""
    whole = [path.parent for path in directory.glob(f"checkpoint-*/{COMPLETE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _settle(directory: Path, output: Path, fingerprint: str, restart: bool) -> None:
    """Remove what cannot be resumed from. Raises UserError for the state of another recipe."""
    path = directory / RUN_FILE
    try:
        same = json.loads(path.read_text(encoding="utf-8")) == {"fingerprint": fingerprint}
    except (OSError, ValueError):
        same = False
    if last_checkpoint(directory) and not same and not restart:
        raise UserError(
            f"{output} was begun with another recipe or other rows, and its state is still there.",
            hint="Put them back to go on, or give --restart to begin anew.",
        )
    for checkpoint in directory.glob("checkpoint-*"):
        if restart or not same or not (checkpoint / COMPLETE).exists():
            shutil.rmtree(checkpoint)
    path.write_text(json.dumps({"fingerprint": fingerprint}), encoding="utf-8")
