"""Votes and ratings as the web UI sends them and the gateway stores them.

PUT /v1/feedback/votes/{id}     Vote    -> {"id": ...}   (the same id again replaces it)
PUT /v1/feedback/ratings/{id}   Rating  -> {"id": ...}
GET /v1/feedback/votes|ratings?limit=&after=  -> {"object": "list", "data": [...], "has_more": , "next": }
GET, DELETE /v1/feedback/votes|ratings/{id}
Ids are UUIDs made by the client, so that a retry after a lost answer never counts twice. A key sees and
replaces its own only; an administrator all. Pages are followed by sending `next` as `after`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from common.checkpoint_identity import CHECKPOINT_ID

RaterId = Annotated[str, Field(min_length=1, max_length=100)]
"""Who judged, in the words of the client that sends it: one key may stand for many people."""
Kind = Literal["votes", "ratings"]
Choice = Literal["left", "tie", "both_bad", "right"]
Tag = Literal["factual_error", "tone", "verbose", "repetition", "incomplete", "mixed_language"]


class Message(BaseModel):
    """One chat message, text only."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(BaseModel):
    """The settings an answer was made with."""

    model_config = ConfigDict(extra="forbid")
    temperature: float
    top_p: float
    max_tokens: int


class Answer(BaseModel):
    """One finished answer with everything needed to judge it again or to train on it."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(max_length=200)
    messages: Annotated[list[Message], FailFast()] = Field(min_length=1)
    """What the model was asked: system prompt, history, question; not the answer."""
    answer: str
    sampling: Sampling
    finish_reason: str | None = None
    ttft_ms: float | None = None
    """Milliseconds from sending the request to the first text."""
    tokens: int | None = None
    """Completion tokens as the engine counted them."""
    tokens_per_s: float | None = None
    request_id: str | None = Field(default=None, max_length=200)
    checkpoint: Annotated[str, Field(pattern=rf"^({CHECKPOINT_ID.pattern})$")] | None = None
    """Id of the weights that gave it, from the answer's `x-kodolly-checkpoint`; None when unknown."""


class Vote(BaseModel):
    """Which of two answers to one question was better."""

    model_config = ConfigDict(extra="forbid")
    choice: Choice
    left: Answer
    right: Answer
    blind: bool
    """True when the names were hidden until the vote."""
    locale: str = Field(default="ko", max_length=20)
    rater_id: RaterId | None = None


class Rating(BaseModel):
    """How good one answer was, 1 (useless) to 5 (perfect)."""

    model_config = ConfigDict(extra="forbid")
    score: int = Field(ge=1, le=5)
    tags: Annotated[list[Tag], FailFast()] = Field(default_factory=list, max_length=6)
    answer: Answer
    blind: bool = False
    locale: str = Field(default="ko", max_length=20)
    rater_id: RaterId | None = None
