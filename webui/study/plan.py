"""What a study is, as plain data, and what follows from it alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.feedback import Choice
from common.template_facts import CONTEXT_MARK
from webui.conversation import Setup, Turn

StudyKind = Literal["vote", "score"]
IDLE_S = 60
"""Of a time in which a rater touches nothing, only so much counts."""


@dataclass(frozen=True, slots=True)
class StudyPrompt:
    """One thing to ask every model of a study."""

    question: str
    context: str = ""
    category: str | None = None

    @property
    def message(self) -> str:
        """What the models are sent."""
        return f"{self.question}{CONTEXT_MARK}{self.context}" if self.context else self.question


@dataclass(frozen=True, slots=True)
class Study:
    """What its raters are asked."""

    id: str
    name: str
    kind: StudyKind
    setups: tuple[Setup, ...]
    """The models, each with its settings; two for votes."""
    raters: int
    """How many judge each prompt."""
    blind: bool
    open: bool
    """False: nobody is given anything of it any more."""
    created: datetime


class TaskJudgement(BaseModel):
    """What a rater says of the answers to one prompt, in the order in which they stood."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    choice: Choice | None = None
    """Of a vote."""
    scores: tuple[int, ...] = Field(default=(), max_length=10)
    """1 to 5, one for each answer."""
    locale: str = "ko"
    """Of the page that the rater saw."""

    def fits(self, study: Study) -> bool:
        """Whether it says what the study asks."""
        if study.kind == "vote":
            return self.choice is not None and not self.scores
        whole = len(self.scores) == len(study.setups) and all(1 <= one <= 5 for one in self.scores)
        return whole and self.choice is None


@dataclass(frozen=True, slots=True)
class Task:
    """One judgement that is wished for, in the hands of a rater."""

    id: str
    study: Study
    position: int
    prompt: StudyPrompt
    answers: tuple[Turn, ...]
    """In the order in which the rater sees them."""
    judgement: TaskJudgement | None
    """What the rater has said; it may be said anew."""


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """Judgements that are done."""

    mine: int
    done: int
    total: int


def shown_order(study_id: str, position: int, user: str, models: int) -> tuple[int, ...]:
    """Which model's answer stands where for this rater: random, and the same whenever it is asked for."""
    drawn = {n: lot(study_id, str(position), user, str(n)) for n in range(models)}
    return tuple(sorted(drawn, key=lambda n: drawn[n]))


def next_position(free: Mapping[int, int], study_id: str, user: str) -> int | None:
    """Which prompt a rater gets. `free`: position -> how many judgements of it are still free.

    Those that others have begun come first, so that a study that ends early has whole prompts; beyond that
    each rater has a random order of their own.
    """
    if not free:
        return None
    return min(free, key=lambda position: (free[position], lot(study_id, user, str(position))))


def lot(*names: str) -> bytes:
    """A random number that belongs to these names."""
    return hashlib.sha256("\n".join(names).encode()).digest()
