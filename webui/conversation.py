"""A conversation with one model as plain immutable data: what is asked, what came back, what is sent next.

The browser keeps it (as JSON), the server only reads it, adds to it and hands it back.
"""

import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.feedback import Answer, Message, Sampling, Tag, Thumb
from common.template_facts import CONTEXT_MARK
from webui.failures import Failure
from webui.metrics import Metrics

QUESTION_CHARACTERS = 100_000
"""Longest question, context and system prompt, in characters."""

ComparisonChoice = Literal["left", "right", "third", "fourth", "tie", "both_bad"]
"""Which answer to a question is the best, by pane; or all are alike, or all are bad."""
TurnState = Literal["running", "done", "stopped", "failed"]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Setup(Data):
    """The model and settings that one side answers with."""

    model: str
    external: bool = False
    system: str = ""
    sampling: Sampling
    images: bool = False
    """The model takes images."""


class AttachedFile(Data):
    """A file that goes along with a question."""

    id: str
    kind: Literal["image", "text"]
    name: str
    bytes: int
    text: str = ""
    """What is in it; of an image nothing."""


class Turn(Data):
    """One question and its answer, as far as it came."""

    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    """Also the id of its rating, so that a changed rating replaces the old one."""
    question: str
    context: str = ""
    """The text that the question is about, as in a row of Dolly."""
    files: tuple[AttachedFile, ...] = ()
    setup: Setup
    answer: str = ""
    reasoning: str = ""
    """What the model thought before it answered; it is not sent back to the model."""
    state: TurnState = "running"
    finish_reason: str | None = None
    metrics: Metrics = Metrics()
    request_id: str | None = None
    checkpoint: str | None = None
    failure: Failure | None = None

    @property
    def asked(self) -> str:
        """What the model is told: the question, and behind it the context and the files, images by name."""
        told = [f"[{file.name}]\n{file.text}".rstrip() for file in self.files]
        return "\n\n".join([with_context(self.question, self.context), *told])

    @property
    def images(self) -> tuple[AttachedFile, ...]:
        """Those among the files."""
        return tuple(file for file in self.files if file.kind == "image")

    @property
    def worked(self) -> bool:
        """Whether the next question comes after its answer: no model should go on from one that nobody
        gave."""
        return self.state in ("done", "stopped") and bool(self.answer)

    @property
    def can_go_on(self) -> bool:
        """True when there is the beginning of an answer that its model can be asked to go on with."""
        broken = self.state == "stopped" or (self.state == "done" and self.finish_reason == "length")
        return broken and bool(self.answer) and not self.setup.external

    @property
    def complete(self) -> bool:
        """True when there is a whole answer to judge; an answer cut by the length limit counts."""
        return self.state == "done" and bool(self.answer)


class Mark(Data):
    """What the reader thinks of one answer. Kept apart from the turns, so that a late answer to a rating
    never overwrites a newer turn."""

    score: int | None = None
    """When comparing, None while only tags are ticked: without a score there is no rating yet."""
    tags: tuple[Tag, ...] = ()
    thumb: Thumb | None = None
    comment: str | None = None
    correction: str | None = None
    """How the answer should have been."""
    sent: bool = True
    """False while the gateway has not taken it."""

    @property
    def says_something(self) -> bool:
        """Whether there is anything for the gateway to keep."""
        return bool(self.score or self.tags or self.thumb or self.comment or self.correction)


class Side(Data):
    """All turns with one side's model."""

    turns: tuple[Turn, ...] = ()

    @property
    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    @property
    def running(self) -> bool:
        return self.last is not None and self.last.state == "running"

    def ask(self, question: str, setup: Setup) -> "Side":
        """With one more question, not answered yet."""
        return Side(turns=(*self.turns, Turn(question=question, setup=setup)))

    def ask_again(self, setup: Setup) -> "Side":
        """With the last question asked anew; the old answer is gone."""
        if self.last is None:
            return self
        return Side(turns=self.turns[:-1]).ask(self.last.question, setup)

    def with_last(self, **changes: Any) -> "Side":
        """With fields of the last turn changed."""
        if self.last is None:
            return self
        return Side(turns=(*self.turns[:-1], self.last.model_copy(update=changes)))

    def without_last(self) -> "Side":
        return Side(turns=self.turns[:-1])

    def interrupted(self) -> "Side":
        """A turn that still says `running` although nobody answers it any more is a stopped one."""
        return self.with_last(state="stopped") if self.running else self

    def messages(self, turn_index: int = -1) -> list[Message]:
        """What the model gets for one turn: system prompt, the history that worked, the question."""
        turn = self.turns[turn_index]
        before = self.turns[: turn_index % len(self.turns)]
        return history(before, turn.setup.system, turn.asked)

    def images(self) -> dict[int, tuple[AttachedFile, ...]]:
        """Images of the questions in `messages()`, by the message's place in it."""
        asked = [turn for turn in self.turns[:-1] if turn.worked] + list(self.turns[-1:])
        places = [at for at, message in enumerate(self.messages()) if message.role == "user"]
        found = {at: turn.images for at, turn in zip(places, asked, strict=True)}
        return {at: images for at, images in found.items() if images}

    def judged(self, turn_index: int = -1) -> Answer:
        """The turn as votes and ratings store it."""
        turn = self.turns[turn_index]
        return Answer(
            model=turn.setup.model,
            messages=self.messages(turn_index),
            answer=turn.answer,
            sampling=turn.setup.sampling,
            finish_reason=turn.finish_reason,
            ttft_ms=turn.metrics.ttft_ms,
            tokens=turn.metrics.tokens,
            tokens_per_s=turn.metrics.tokens_per_s,
            request_id=turn.request_id,
            checkpoint=turn.checkpoint,
        )


def with_context(question: str, context: str) -> str:
    """A question as a model is asked it."""
    return f"{question}{CONTEXT_MARK}{context}" if context.strip() else question


def history(turns: tuple[Turn, ...], system: str, question: str) -> list[Message]:
    """Messages for `question` after `turns`, of which failed and empty ones are left out."""
    messages = [Message(role="system", content=system)] if system.strip() else []
    for turn in turns:
        if turn.worked:
            messages.append(Message(role="user", content=turn.asked))
            messages.append(Message(role="assistant", content=turn.answer))
    messages.append(Message(role="user", content=question))
    return messages


def load_side(stored: object) -> Side:
    """A side as the browser kept it; an empty one when it kept none or one that no longer fits."""
    try:
        return Side.model_validate(stored or {})
    except ValidationError:
        return Side()


def load_marks(stored: object) -> dict[str, Mark]:
    """Ratings by turn id as the browser kept them."""
    try:
        found = TypeAdapter(dict[str, Mark]).validate_python(stored or {})
    except ValidationError:
        return {}
    return {turn_id: mark for turn_id, mark in found.items() if mark.says_something}


def dump(data: Data) -> dict[str, Any]:
    """JSON for the browser."""
    return data.model_dump(mode="json")
