"""Votes and ratings for administrators to look through, as the gateway lists them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from common.feedback import Excluded, JudgedRating, JudgedVote, Kind, Review
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError

ROWS = 10
"""On one screen: each may hold long conversations."""
NOTE_CHARACTERS = 2000


class _Reviewable(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    id: str
    key_id: str
    created: str
    excluded: bool = False
    note: str | None = None
    used_in: list[str] | None = None

    @property
    def review(self) -> Review:
        """What administrators made of it so far."""
        return Review(excluded=self.excluded, note=self.note)


class ReviewedVote(JudgedVote, _Reviewable):
    """A vote, and what administrators made of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ReviewedRating(JudgedRating, _Reviewable):
    """A rating, and what administrators made of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Reviewed = ReviewedVote | ReviewedRating


@dataclass(frozen=True)
class WantedReviews:
    """Which feedback is looked through."""

    kind: Kind
    excluded: Excluded
    after: str | None
    """Cursor of the page before."""


@dataclass(frozen=True)
class ReviewPage:
    """Some of it, the newest first."""

    rows: list[Reviewed]
    next: str | None
    """Cursor of the page behind it."""


def wanted_in(query: Mapping[str, str]) -> WantedReviews:
    """What an address, or a form, asks for; what makes no sense is left out."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    which: tuple[Excluded, ...] = get_args(Excluded)
    return WantedReviews(
        kind=next((kind for kind in kinds if kind == query.get("kind")), "votes"),
        excluded=next((one for one in which if one == query.get("excluded")), "also"),
        after=query.get("after") or None,
    )


async def read_page(client: GatewayClient, wanted: WantedReviews) -> ReviewPage:
    """A page of everybody's feedback. Raises GatewayError."""
    asked: dict[str, Any] = {"limit": ROWS, "excluded": wanted.excluded}
    if wanted.after is not None:
        asked["after"] = wanted.after
    told = await client.get(f"/v1/feedback/{wanted.kind}", asked)
    kind = ReviewedVote if wanted.kind == "votes" else ReviewedRating
    try:
        return ReviewPage([kind.model_validate(row) for row in told["data"]], told.get("next"))
    except (KeyError, TypeError, ValidationError) as error:
        message = "The gateway's feedback is of another version."
        raise GatewayError(Failure(kind="other", message=message)) from error


def review_wishes(form: Mapping[str, str]) -> dict[str, Any]:
    """What a form says of a vote or rating, and what it has shown, as the gateway takes it."""
    seen = {"excluded": form.get("seen_excluded") == "yes", "note": form.get("seen_note") or None}
    note = form.get("note", "").strip() or None
    return {"seen": seen, "wanted": {"excluded": form.get("excluded") == "yes", "note": note}}
