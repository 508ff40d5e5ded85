"""PUT /admin/feedback/...: administrators leave votes and ratings out of results and trainings."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from common.doors import door
from common.feedback import Kind, Review
from server.api.public import GatewayDep

router = APIRouter(prefix="/admin/feedback", tags=["admin"])
Id = Annotated[str, Path(min_length=1, max_length=40, pattern=r"^[^\x00]*$")]


class ReviewChange(BaseModel):
    """A review, and the one that it replaces."""

    model_config = ConfigDict(extra="forbid")
    seen: Review
    """409 `review_changed` when it is another one by now."""
    wanted: Review


@router.put("/{kind}/{key_id}/{row_id}")
@door("admin")
async def review(kind: Kind, key_id: Id, row_id: Id, change: ReviewChange, gateway: GatewayDep) -> Review:
    """Leave a vote or rating of a key out of the leaderboard and of lists of feedback, and so of
    trainings; take that back; note why."""
    await gateway.feedback.reviews.change(kind, key_id, row_id, change.seen, change.wanted)
    return change.wanted
