"""The routes of votes and ratings. A key sees and replaces its own; administrators all."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from common.doors import door
from common.feedback import FeedbackUse, Kind, RaterId, Rating, RequestFeedback, Vote
from server.accounts.entrance import KeyDep
from server.api.public import GatewayDep
from server.store.feedback import Row
from server.store.owner import Owner

FEEDBACK_BYTES = 4 * 1024 * 1024
"""Two long conversations with their answers."""


def get_owner(key: KeyDep) -> Owner:
    """On whose behalf the request comes."""
    return Owner(key.id, sees_all=key.admin)


OwnerDep = Annotated[Owner, Depends(get_owner)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Since = Annotated[datetime | None, Query()]
"""ISO 8601; without a zone it is UTC."""
After = Annotated[str | None, Query(max_length=500)]
router = APIRouter(prefix="/v1/feedback", tags=["feedback"])


class Stored(BaseModel):
    """The id under which feedback was stored."""

    id: UUID


class StoredOnRequest(Stored):
    """A stored opinion, and what it is about."""

    model: str
    arm: str | None
    checkpoint: str | None
    conversation: Literal["kept", "not kept"]


class Forgotten(BaseModel):
    """How much of a rater was deleted."""

    votes: int
    ratings: int


class Marked(BaseModel):
    """How many of the named votes and ratings there are."""

    marked: int


class FeedbackPage(BaseModel):
    """A page of votes or ratings, the newest first; `next` is the `after` of the page behind it."""

    object: str = "list"
    data: list[Row]
    has_more: bool
    next: str | None


@router.post("")
@door("key", body_bytes=FEEDBACK_BYTES)
async def post_feedback(said: RequestFeedback, owner: OwnerDep, gateway: GatewayDep) -> StoredOnRequest:
    """Store what somebody thinks of the answer to a request."""
    rating_id, answer = await gateway.feedback.put_on_request(owner, said)
    return StoredOnRequest(
        id=UUID(rating_id),
        model=answer.model,
        arm=answer.arm,
        checkpoint=answer.checkpoint,
        conversation="kept" if said.messages and gateway.feedback.keeps_text else "not kept",
    )


@router.post("/used")
@door("key", body_bytes=FEEDBACK_BYTES)
async def post_used(use: FeedbackUse, owner: OwnerDep, gateway: GatewayDep) -> Marked:
    """Note that a training used this feedback."""
    return Marked(marked=await gateway.feedback.mark_used(owner, use))


@router.delete("/raters/{rater_id}")
@door("key")
async def delete_rater(rater_id: RaterId, owner: OwnerDep, gateway: GatewayDep) -> Forgotten:
    """Delete everything that one rater has said."""
    gone = await gateway.feedback.forget_rater(owner, rater_id)
    return Forgotten(votes=gone["votes"], ratings=gone["ratings"])


@router.put("/votes/{vote_id}")
@door("key", body_bytes=FEEDBACK_BYTES)
async def put_vote(vote_id: UUID, vote: Vote, owner: OwnerDep, gateway: GatewayDep) -> Stored:
    """Store a vote; the same id again replaces it."""
    await gateway.feedback.put_vote(owner, str(vote_id), vote)
    return Stored(id=vote_id)


@router.put("/ratings/{rating_id}")
@door("key", body_bytes=FEEDBACK_BYTES)
async def put_rating(rating_id: UUID, rating: Rating, owner: OwnerDep, gateway: GatewayDep) -> Stored:
    """Store a rating; the same id again replaces it."""
    await gateway.feedback.put_rating(owner, str(rating_id), rating)
    return Stored(id=rating_id)


@router.get("/{kind}")
@door("key")
async def list_feedback(
    kind: Kind,
    owner: OwnerDep,
    gateway: GatewayDep,
    limit: Limit = 100,
    after: After = None,
    since: Since = None,
) -> FeedbackPage:
    """The votes or ratings of this key, all keys' for an administrator, page by page."""
    page = await gateway.feedback.page(kind, owner, limit, after, since)
    return FeedbackPage(data=page.rows, has_more=page.next is not None, next=page.next)


@router.get("/{kind}/{row_id}")
@door("key")
async def get_feedback(kind: Kind, row_id: UUID, owner: OwnerDep, gateway: GatewayDep) -> Row:
    """One vote or rating."""
    return await gateway.feedback.get(kind, owner, str(row_id))


@router.delete("/{kind}/{row_id}", status_code=204)
@door("key")
async def delete_feedback(kind: Kind, row_id: UUID, owner: OwnerDep, gateway: GatewayDep) -> Response:
    """Take a vote or rating away."""
    await gateway.feedback.delete(kind, owner, str(row_id))
    return Response(status_code=204)
