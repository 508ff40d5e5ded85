"""The gateway's leaderboard as the page reads it, and what the reader has chosen of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.leaderboard.bradley_terry import Strength
from common.leaderboard.intervals import Interval
from common.leaderboard.judgements import Filter
from common.leaderboard.results import PairResult, RatingResult
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Leaderboard(_Read):
    """What the page reads of `GET /v1/leaderboard` (common.leaderboard.results)."""

    complete: bool
    strengths: tuple[Strength, ...]
    pairs: tuple[PairResult, ...]
    ratings: tuple[RatingResult, ...]
    both_bad: dict[str, Interval]
    left_rate: Interval | None
    vote_agreement: float | None
    rating_agreement: float | None
    votes: int
    raters: int
    first_judged: dict[str, str]
    locales: dict[str, int]
    categories: dict[str, int]


class Query(_Read):
    """What the page's address asks for."""

    blind: bool = False
    since: date | None = None
    until: date | None = None
    """The last day that counts (UTC)."""
    locale: str | None = Field(default=None, max_length=50)
    category: str | None = Field(default=None, max_length=50)
    study: str | None = Field(default=None, max_length=100)
    model: str | None = Field(default=None, max_length=300)
    """The model whose judgements are shown one by one."""
    rival: str | None = Field(default=None, max_length=300)
    """With `model`: only votes between these two."""
    what: str | None = Field(default=None, max_length=10)
    """With `model`: `ratings`, else votes."""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """The query in an address; what makes no sense in it is left out."""
        given = {name: params[name] for name in cls.model_fields if params.get(name) not in (None, "")}
        while True:
            try:
                return cls.model_validate(given)
            except ValidationError as error:
                for problem in error.errors():
                    given.pop(str(problem["loc"][0]), None)

    def filter(self) -> Filter:
        """The filter of votes and ratings that it stands for."""
        since, until = (_midnight(day) for day in (self.since, self.until))
        if until is not None:
            until += timedelta(days=1)
        return Filter(since, until, self.locale, self.category, self.blind, self.study)

    def asked(self) -> dict[str, str]:
        """Its parameters for the gateway."""
        only = self.filter()
        wishes = {
            "since": only.since.isoformat() if only.since else None,
            "until": only.until.isoformat() if only.until else None,
            "locale": only.locale,
            "category": only.category,
            "session_id": only.session,
            "blind_only": "true" if only.blind_only else None,
        }
        return {name: value for name, value in wishes.items() if value is not None}

    def address(self, page: str = "results", /, **changed: str | None) -> str:
        """The page's address for this query, with the fields in `changed` replaced."""
        wishes = self.model_copy(update=changed).model_dump(exclude_defaults=True)
        words = {name: "1" if value is True else str(value) for name, value in wishes.items() if value}
        return f"./{page}?{urlencode(words)}" if words else f"./{page}"

    @property
    def filters(self) -> "Query":
        """The same query without the judgements that are shown one by one."""
        return self.model_copy(update={"model": None, "rival": None, "what": None})


def _midnight(day: date | None) -> datetime | None:
    # The last day of the calendar has no next one.
    return datetime(min(day.year, 9998), day.month, day.day, tzinfo=UTC) if day else None


async def read_figures(client: GatewayClient, query: Query) -> Leaderboard:
    """The leaderboard, computed by the gateway. Raises GatewayError."""
    told = await client.get("/v1/leaderboard", query.asked())
    try:
        return Leaderboard.model_validate(told)
    except ValidationError as error:
        failure = Failure(kind="other", message="The gateway's leaderboard is of another version.")
        raise GatewayError(failure) from error
