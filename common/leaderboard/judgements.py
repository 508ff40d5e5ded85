"""Votes and ratings as the leaderboard reads them, from the rows that the gateway lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.feedback import Choice, Thumb

UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class About:
    """Who judged, when and under which conditions."""

    id: str
    rater: str
    """As far as people can be told apart: by rater, else by session, else by key."""
    created: datetime
    blind: bool
    locale: str
    category: str | None
    session: str
    """"" when unknown."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One answer of a vote."""

    name: str
    """Model, or arm of an alias, with the checkpoint where it is known: two are two contenders."""
    length: int
    """Characters; 0 when the text was not kept."""
    answer: str
    """Tells answers apart: the request's id; "" when unknown."""


@dataclass(frozen=True, slots=True)
class CastVote:
    """One vote."""

    about: About
    choice: Choice
    left: Contender
    right: Contender
    comparison: str
    """The same in all votes of one look at more than two answers; "" for a vote on two."""


@dataclass(frozen=True, slots=True)
class GivenRating:
    """One rating."""

    about: About
    answer: Contender
    score: int | None
    thumb: Thumb | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which votes and ratings count; None is all."""

    since: datetime | None = None
    until: datetime | None = None
    locale: str | None = None
    category: str | None = None
    blind_only: bool = False
    session: str | None = None

    def admits(self, about: About) -> bool:
        """Whether a vote or rating counts."""
        return (
            (self.since is None or about.created >= in_utc(self.since))
            and (self.until is None or about.created < in_utc(self.until))
            and self.locale in (None, about.locale)
            and self.category in (None, about.category)
            and (about.blind or not self.blind_only)
            and self.session in (None, about.session)
        )


EVERYTHING = Filter()


def in_utc(moment: datetime) -> datetime:
    """With a zone: what comes without one is UTC. At the ends of time the zone does not count."""
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


def vote_of(row: Mapping[str, Any]) -> CastVote:
    """A row of `GET /v1/feedback/votes`. Raises KeyError, TypeError or ValueError for another thing."""
    sides = contender(row["left"]), contender(row["right"])
    return CastVote(_about(row), row["choice"], *sides, str(row.get("comparison") or ""))


def rating_of(row: Mapping[str, Any]) -> GivenRating:
    """A row of `GET /v1/feedback/ratings`. Raises as `vote_of` does."""
    tags = tuple(map(str, row.get("tags") or ()))
    return GivenRating(_about(row), contender(row["answer"]), row.get("score"), row.get("thumb"), tags)


def contender(answer: Mapping[str, Any]) -> Contender:
    """The contender who gave an answer of a vote or rating; with a `length` the text itself is not needed."""
    name = answer.get("arm") or answer["model"]
    checkpoint = answer.get("checkpoint")
    length = answer["length"] if "length" in answer else len(answer.get("answer") or "")
    label = f"{name}@{checkpoint}" if checkpoint else str(name)
    return Contender(label, length, answer.get("request_id") or UNKNOWN)


def _about(row: Mapping[str, Any]) -> About:
    who = row.get("rater_id") or row.get("session_id") or UNKNOWN
    created = datetime.fromisoformat(row["created"])
    return About(
        id=str(row["id"]),
        rater=f"{row.get('key_id', UNKNOWN)}/{who}",
        created=in_utc(created),
        blind=bool(row.get("blind")),
        locale=str(row.get("locale", "ko")),
        category=row.get("category"),
        session=str(row.get("session_id") or UNKNOWN),
    )
