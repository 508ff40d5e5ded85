"""Votes and ratings as clients send them and the gateway stores them.

POST /v1/feedback               RequestFeedback -> {"id": ...}   (what is thought of an answer, by request id)
PUT /v1/feedback/votes/{id}     Vote    -> {"id": ...}   (the same id again replaces it)
PUT /v1/feedback/ratings/{id}   Rating  -> {"id": ...}
GET /v1/feedback/votes|ratings?limit=&after=&since=&excluded=no|also|only
                                -> {"object": "list", "data", "has_more", "next"}
GET, DELETE /v1/feedback/votes|ratings/{id}
GET /v1/feedback/conversations?limit=&after=&since=   kept ones (`feedback_store: all`), by request id
GET, DELETE /v1/feedback/conversations/{request_id}; DELETE /v1/feedback/conversations   all of one key
DELETE /v1/feedback/raters/{rater_id}   all of one rater
PUT /admin/feedback/votes|ratings/{key}/{id}   {"seen": Review, "wanted": Review}   for administrators
POST /v1/feedback/used          FeedbackUse: these were trained on
Ids are UUIDs made by the client, so that a retry after a lost answer never counts twice. A key sees and
replaces its own only; an administrator all. Pages are followed by sending `next` as `after`.
"""

from hashlib import sha256
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from common.checkpoint_identity import CHECKPOINT_ID

LONGEST_ID = 100
RaterId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
"""Who judged, in the words of the client that sends it: one key may stand for many people."""
Checkpoint = Annotated[str, Field(pattern=rf"^({CHECKPOINT_ID.pattern})$")]
Comment = Annotated[str, Field(max_length=4000)]
Correction = Annotated[str, Field(min_length=1, max_length=100_000)]
Kind = Literal["votes", "ratings"]
StoredKind = Literal["votes", "ratings", "conversations"]
Choice = Literal["left", "tie", "both_bad", "right"]
Thumb = Literal["up", "down"]
Tag = Literal["factual_error", "tone", "verbose", "repetition", "incomplete", "mixed_language"]


def kept_id(given: str) -> str:
    """A user's or session's id as it is stored. A hash at the end of one that is cut tells apart those that
    begin alike."""
    if len(given) <= LONGEST_ID:
        return given
    digest = sha256(given.encode(errors="surrogatepass")).hexdigest()[:32]
    return f"{given[: LONGEST_ID - len(digest) - 1]}-{digest}"


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
    max_tokens: int = Field(ge=0, lt=2**31)


class JudgedAnswer(BaseModel):
    """One answer as feedback is kept on it: its text only where that is known and may be kept."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(max_length=200)
    """As it was asked for."""
    messages: Annotated[list[Message], FailFast()] = []
    """What the model was asked: system prompt, history, question; not the answer."""
    answer: str = ""
    sampling: Sampling | None = None
    finish_reason: str | None = None
    ttft_ms: float | None = None
    """Milliseconds from sending the request to the first text."""
    tokens: int | None = Field(default=None, ge=0, lt=2**31)
    """Completion tokens as the engine counted them."""
    tokens_per_s: float | None = None
    request_id: str | None = Field(default=None, max_length=200)
    checkpoint: Checkpoint | None = None
    """Id of the weights that gave it, from the answer's `x-kodolly-checkpoint`; None when unknown."""
    arm: str | None = Field(default=None, max_length=200)
    """The served model behind an alias; None where the model was asked for by its own name."""

    def without_text(self) -> "JudgedAnswer":
        """The same without anybody's words."""
        return JudgedAnswer(**self.model_dump(exclude={"messages", "answer"}))


class Answer(JudgedAnswer):
    """One finished answer with everything needed to judge it again or to train on it."""

    messages: Annotated[list[Message], FailFast()] = Field(min_length=1)
    answer: str
    sampling: Sampling


class Judgement(BaseModel):
    """Who judged, and under which conditions."""

    model_config = ConfigDict(extra="forbid")
    locale: str = Field(default="ko", max_length=20)
    rater_id: RaterId | None = None
    session_id: RaterId | None = None
    """What belongs to one sitting of a rater, in the client's own words."""
    comment: Comment | None = None
    category: str | None = Field(default=None, min_length=1, max_length=50)
    """Kind of question, in the client's own words: results are told for each, too."""


class JudgedVote(Judgement):
    """Which of two answers to one question was better, with what is known of the answers."""

    choice: Choice
    left: JudgedAnswer
    right: JudgedAnswer
    blind: bool
    """True when the names were hidden until the vote."""
    comparison: UUID | None = None
    """The same in all votes that one look at more than two answers gave: they are one word of one person. Of
    the answers that were not the best nobody said that they are bad."""


class Vote(JudgedVote):
    """A vote on two answers that come along whole."""

    left: Answer
    right: Answer


class Opinion(Judgement):
    """What somebody thinks of one answer."""

    score: int | None = Field(default=None, ge=1, le=5)
    """1 (useless) to 5 (perfect)."""
    thumb: Thumb | None = None
    tags: Annotated[list[Tag], FailFast()] = Field(default_factory=list, max_length=6)
    correction: Correction | None = None
    """How the answer should have been."""
    blind: bool = False

    def refuse_silence(self) -> None:
        """Raises ValueError when nothing is said."""
        if not (self.score or self.thumb or self.tags or self.comment or self.correction):
            raise ValueError("say at least one of score, thumb, tags, comment, correction")


class JudgedRating(Opinion):
    """An opinion with what is known of the answer."""

    answer: JudgedAnswer


class Rating(JudgedRating):
    """An opinion on an answer that comes along whole."""

    answer: Answer

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        self.refuse_silence()
        return self


class RequestFeedback(Opinion):
    """An opinion on the answer to a request, which the gateway or the client knows."""

    request_id: str = Field(min_length=1, max_length=200)
    """`x-request-id` of the answer."""
    id: UUID | None = None
    """Of the rating. Without one, the same rater's word on the same request replaces the earlier one."""
    model: str | None = Field(default=None, max_length=200)
    """As it was asked for; needed where the gateway does not know the request any more."""
    checkpoint: Checkpoint | None = None
    """The answer's `x-kodolly-checkpoint`, for the same case."""
    messages: Annotated[list[Message], FailFast()] = Field(default_factory=list)
    """The conversation, to be kept for training; without it only figures are."""
    answer: str = ""
    finish_reason: str | None = Field(default=None, max_length=50)
    """How the answer ended, with the conversation: one that was cut is nothing to learn from."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        self.refuse_silence()
        return self


def _one_line_end(words: object) -> object:
    """Browsers send the ends of lines as CR LF, which would make another note of the same."""
    return words.replace("\r\n", "\n").strip() if isinstance(words, str) else words


Note = Annotated[
    str, BeforeValidator(_one_line_end), Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")
]


class Review(BaseModel):
    """What an administrator makes of a vote or rating."""

    model_config = ConfigDict(extra="forbid")
    excluded: bool = False
    """It counts in no result, and is in no list but those that ask for it: no training sees it."""
    note: Note | None = None


Excluded = Literal["no", "also", "only"]
"""Which feedback a list has: what counts, everything, or what is left out."""


class FeedbackUse(BaseModel):
    """Feedback that a training has used: it cannot judge the outcome of that training."""

    model_config = ConfigDict(extra="forbid")
    run: str = Field(min_length=1, max_length=200)
    votes: list[UUID] = Field(default=[], max_length=10_000)
    ratings: list[UUID] = Field(default=[], max_length=10_000)
