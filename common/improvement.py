"""A turn of `kodolly improve` as it tells the gateway of it, for administrators to see.

PUT /admin/turns/{id}   ImprovementTurn   after each step
GET /admin/turns        {"object": "list", "data": [StoredTurn, ...]}   the newest first
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

TURN_ID = r"^[A-Za-z0-9._-]{1,80}$"
Step = Literal["train", "merge", "measure", "gates", "canary", "votes", "settle"]
Decision = Literal["promoted", "withdrawn", "refused", "ready"]
"""ready: the gates are passed, and no deployment was asked for."""
MOST_WORDS = 2000
Words = Annotated[str, Field(max_length=MOST_WORDS)]
Name = Annotated[str, Field(max_length=200)]


class FoundGate(BaseModel):
    """What one gate found."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    name: Name
    passed: bool | None
    """None: not measured."""
    words: Words


class ImprovementTurn(BaseModel):
    """How far a turn has come."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    model: Name
    turn: Name
    """The name of its directory, e.g. improve-3."""
    begun: AwareDatetime
    checkpoint: Name
    """Which one it began with."""
    method: Name
    why: Words
    counts: Annotated[dict[Name, int], Field(max_length=50)]
    """What it learns from."""
    step: Step | None
    """What it was about when it last told; None when it is over."""
    gates: Annotated[tuple[FoundGate, ...], Field(max_length=50)] = ()
    decision: Decision | None = None
    words: Words = ""
    """Why it was decided so."""


class StoredTurn(ImprovementTurn):
    """One turn as the gateway keeps it."""

    id: str
    told: AwareDatetime
    """When it last told of itself: a turn that was killed says nothing more."""
