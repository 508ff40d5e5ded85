"""Votes and ratings as the gateway stored them, and which of them a training may use."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ConfigDict, ValidationError

from common.errors import UserError
from common.feedback import JudgedAnswer, JudgedRating, JudgedVote, Judgement, Message
from common.prompt_hash import prompt_hash

PromptMessages = tuple[tuple[str, str], ...]
"""(role, content) of every message before the answer."""


class StoredJudgement(Judgement):
    """What the gateway adds to each judgement."""

    model_config = ConfigDict(extra="ignore")
    id: str
    created: str = ""
    key_id: str = ""
    held_out: bool = False
    used_in: list[str] | None = None

    @property
    def rater(self) -> str:
        """Who judged; without a rater each judgement is somebody else's."""
        return f"{self.key_id}/{self.rater_id}" if self.rater_id else self.id


class StoredVote(JudgedVote, StoredJudgement):
    """A vote as `GET /v1/feedback/votes` lists it."""

    @property
    def rater(self) -> str:
        """Who judged; the votes of one comparison are somebody's, even where nobody knows whose."""
        return str(self.comparison) if self.comparison and not self.rater_id else super().rater

    @property
    def question(self) -> str:
        """Hash of what was asked."""
        return prompt_hash(self.left.messages)


class StoredRating(JudgedRating, StoredJudgement):
    """A rating as `GET /v1/feedback/ratings` lists it."""

    @property
    def question(self) -> str:
        """Hash of what was asked."""
        return prompt_hash(self.answer.messages)


@dataclass(frozen=True)
class Feedback:
    """Votes and ratings, the earliest first."""

    votes: tuple[StoredVote, ...] = ()
    ratings: tuple[StoredRating, ...] = ()

    def __len__(self) -> int:
        return len(self.votes) + len(self.ratings)

    def held_out_questions(self) -> frozenset[str]:
        """Hashes of the questions that are for judging only: one held-out answer holds them all out."""
        held = {vote.question for vote in self.votes if vote.held_out}
        return frozenset(held | {rating.question for rating in self.ratings if rating.held_out})

    def on(self, questions: Collection[str], *, instead: bool = False) -> "Feedback":
        """Feedback on these questions, or with `instead` on all others."""
        return Feedback(
            tuple(vote for vote in self.votes if (vote.question in questions) is not instead),
            tuple(rating for rating in self.ratings if (rating.question in questions) is not instead),
        )

    def joined(self, other: "Feedback") -> "Feedback":
        """Feedback of both."""
        return Feedback((*self.votes, *other.votes), (*self.ratings, *other.ratings))

    def with_text(self) -> "Feedback":
        """The feedback whose conversation was stored with it."""
        return Feedback(
            tuple(vote for vote in self.votes if vote.left.messages and vote.right.messages),
            tuple(rating for rating in self.ratings if rating.answer.messages),
        )

    def unused(self) -> "Feedback":
        """The feedback that no training has used."""
        return Feedback(
            tuple(vote for vote in self.votes if not vote.used_in),
            tuple(rating for rating in self.ratings if not rating.used_in),
        )


@dataclass(frozen=True)
class Sources:
    """Whose answers a training may use. By default those of models of our own."""

    external: frozenset[str] = frozenset()
    """Providers' models, by either name: their terms mostly forbid training on answers."""
    without: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    """A provider's models whose answers somebody has allowed by name."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """Model -> the licence on its card, for our own models."""

    def permit(self, answer: JudgedAnswer) -> bool:
        """Whether an answer may be trained on."""
        names = {answer.model, answer.arm or answer.model}
        return not names & self.without and (not names & self.external or bool(names & self.allowed))

    def licence(self, answer: JudgedAnswer) -> str | None:
        """The licence of the model that gave an answer; None where it is not known."""
        return self.licences.get(answer.arm or answer.model)


OWN = Sources()


def parse_feedback(votes: Iterable[object], ratings: Iterable[object]) -> Feedback:
    """The gateway's lists as types. Raises UserError."""
    try:
        cast = [StoredVote.model_validate(vote) for vote in votes]
        given = [StoredRating.model_validate(rating) for rating in ratings]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"This is not a gateway's feedback ({where}: {first['msg']}).") from error
    cast.sort(key=lambda vote: vote.created)
    given.sort(key=lambda rating: rating.created)
    return Feedback(tuple(cast), tuple(given))


def prompt_of(messages: Sequence[Message]) -> PromptMessages:
    """The conversation before an answer."""
    return tuple((message.role, message.content) for message in messages)
