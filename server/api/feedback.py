"""The routes of votes and ratings. A key sees and replaces its own; administrators all."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from common.doors import door
from common.feedback import Excluded, FeedbackUse, Kind, Rating, RequestFeedback, StoredKind, Vote
from server.accounts.entrance import KeyDep
from server.api.public import GatewayDep
from server.client.request import REQUEST_ID
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
RequestId = Annotated[str, Path(pattern=f"^({REQUEST_ID.pattern})$")]
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
    conversations: int


class Deleted(BaseModel):
    """How many conversations were deleted."""

    conversations: int


class Marked(BaseModel):
    """How many of the named votes and ratings there are."""

    marked: int


class FeedbackPage(BaseModel):
    """A page, the newest first; `next` is the `after` of the page behind it."""

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
        conversation="kept" if answer.messages and gateway.feedback.policy.keeps_text else "not kept",
    )


@router.post("/used")
@door("key", body_bytes=FEEDBACK_BYTES)
async def post_used(use: FeedbackUse, owner: OwnerDep, gateway: GatewayDep) -> Marked:
    """Note that a training used this feedback."""
    return Marked(marked=await gateway.feedback.mark_used(owner, use))


@router.delete("/raters/{rater_id:path}")
@door("key")
async def delete_rater(
    rater_id: Annotated[str, Field(min_length=1)], owner: OwnerDep, gateway: GatewayDep
) -> Forgotten:
    """Delete everything that one rater has said."""
    gone = await gateway.feedback.forget_rater(owner, rater_id)
    return Forgotten(**gone)


@router.delete("/conversations")
@door("key")
async def delete_conversations(
    owner: OwnerDep, gateway: GatewayDep, key_id: Annotated[str | None, Query(max_length=40)] = None
) -> Deleted:
    """Delete all kept conversations of this key; for an administrator those of `key_id`, or everybody's. What
    was kept with a judgement stays with it."""
    return Deleted(conversations=await gateway.conversations.delete_all(owner, key_id))


@router.get("/conversations/{request_id}")
@door("key")
async def get_conversation(request_id: RequestId, owner: OwnerDep, gateway: GatewayDep) -> Row:
    """One kept conversation, by its request's id."""
    return await gateway.feedback.get("conversations", owner, request_id)


@router.delete("/conversations/{request_id}", status_code=204)
@door("key")
async def delete_conversation(request_id: RequestId, owner: OwnerDep, gateway: GatewayDep) -> Response:
    """Take one kept conversation away."""
    await gateway.feedback.delete("conversations", owner, request_id)
    return Response(status_code=204)


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
    kind: StoredKind,
    owner: OwnerDep,
    gateway: GatewayDep,
    limit: Limit = 100,
    after: After = None,
    since: Since = None,
    excluded: Excluded = "no",
) -> FeedbackPage:
    """The votes, ratings or kept conversations of this key, all keys' for an administrator, page by page.
    What administrators have left out is listed only where `excluded` asks for it."""
    page = await gateway.feedback.page(kind, owner, limit, after, since, excluded)
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
