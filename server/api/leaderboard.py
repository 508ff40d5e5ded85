"""GET /v1/leaderboard: who won people's votes, with figures that hold up."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from common.doors import door
from common.leaderboard.judgements import Filter
from common.leaderboard.results import leaderboard
from server.api.feedback import OwnerDep
from server.api.public import GatewayDep

router = APIRouter(prefix="/v1", tags=["feedback"])
When = Annotated[datetime | None, Query()]
Word = Annotated[str | None, Query(max_length=50)]


@router.get("/leaderboard")
@door("key")
async def get_leaderboard(
    owner: OwnerDep,
    gateway: GatewayDep,
    since: When = None,
    until: When = None,
    locale: Word = None,
    category: Word = None,
    blind_only: bool = False,
    session_id: Annotated[str | None, Query(max_length=100)] = None,
    control_length: bool = False,
) -> dict[str, object]:
    """Strengths with intervals, pairs with decisions, ratings and agreement, of this key's votes and ratings;
    of everybody's for an administrator. `complete` is false when there were too many and the newest count."""
    figures = await gateway.feedback.figures(owner, since)
    only = Filter(since, until, locale, category, blind_only, session_id)
    # Some 10,000 votes take a second of computing: a thread lets the streams go on.
    results = await asyncio.to_thread(
        leaderboard, figures.votes, figures.ratings, only, control_length=control_length
    )
    return {"object": "leaderboard", "complete": figures.complete, **results.as_json()}
