"""What a turn has done so far, on disk: a killed turn goes on behind the last step that was written here."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import UserError
from common.improvement import Decision
from finetune.eval.report import write_json

FILE = "journal.json"


class Options(BaseModel):
    """What a turn was begun with; one that goes on keeps to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    share: float
    days: float
    deploy: bool = True
    sticky: str = "user"
    vllm_args: tuple[str, ...] = ()
    max_longer: float
    max_forgotten: float
    max_task_loss: float
    ethics: str | None = None
    moderation: str | None = None
    kobest: str | None = None
    kobest_tasks: tuple[str, ...] = ()


class Plan(BaseModel):
    """What a turn set out to do."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    served: str
    """The model behind the name: the name itself, or where an alias leads."""
    gateway: str
    base: str
    """Directory of the checkpoint that served then."""
    checkpoint: str
    """Its id."""
    method: str
    why: str
    counts: dict[str, int]
    left_out: dict[str, int]
    judgements: list[str]
    """Ids of the feedback it looked at."""
    used: list[str]
    """Ids of those that something was made of."""
    votes: list[str]
    """Which of `used` are votes."""
    replayed: int = 0


class Content(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    begun: float
    """Unix seconds, as in `at`."""
    plan: Plan
    options: Options
    steps: dict[str, Any] = {}
    """Step -> what it found."""
    at: dict[str, float] = {}
    decision: Decision | None = None
    exit_code: int = 0
    words: str = ""


@dataclass
class Journal:
    """One turn's file. Each change is on disk when the method returns."""

    directory: Path
    content: Content

    @property
    def number(self) -> int:
        """The turn's number."""
        return int(self.directory.name.rpartition("-")[2])

    def done(self, step: str, found: Any) -> None:
        """A step has ended. Raises UserError."""
        self.content.steps[step] = found
        self.content.at[step] = time.time()
        self.write()

    def end(self, decision: Decision, exit_code: int, words: str) -> None:
        """The turn is over. Raises UserError."""
        self.content.decision, self.content.exit_code, self.content.words = decision, exit_code, words
        self.content.at["end"] = time.time()
        self.write()

    def write(self) -> None:
        """Write the file as it is now. Raises UserError."""
        write_json(self.directory / FILE, json.loads(self.content.model_dump_json()))


def new_journal(directory: Path, plan: Plan, options: Options) -> Journal:
    """The file in a directory that is being made. Raises UserError."""
    journal = Journal(directory, Content(begun=time.time(), plan=plan, options=options))
    journal.write()
    return journal


def journals(runs: Path, name: str | None = None) -> Iterator[Journal]:
    """All turns below `runs`, or those of one model, in order. Raises UserError where one is broken."""
    for directory in sorted(runs.glob("improve-*"), key=_number):
        if _number(directory) and (directory / FILE).is_file():
            journal = read_journal(directory)
            if name is None or journal.content.plan.name == name:
                yield journal


def read_journal(directory: Path) -> Journal:
    """The journal of one turn. Raises UserError."""
    path = directory / FILE
    try:
        return Journal(directory.resolve(), Content.model_validate_json(path.read_bytes()))
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{path} cannot be read.", hint=f"Move {directory} away to begin anew without it."
        ) from error


def next_directory(runs: Path) -> Path:
    """Where the next turn goes."""
    return runs / f"improve-{max(map(_number, runs.glob('improve-*')), default=0) + 1}"


def _number(directory: Path) -> int:
    found = re.fullmatch(r"improve-(\d+)", directory.name)
    return int(found[1]) if found else 0
