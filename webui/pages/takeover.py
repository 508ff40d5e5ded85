"""Conversations that earlier versions kept in the browser's localStorage, read once into the store."""

import uuid
from collections.abc import Sequence

import gradio as gr
from pydantic import Field, ValidationError

from common.feedback import Choice
from webui.conversation import Data, Side, load_marks, load_side
from webui.pages.parts import browser_state
from webui.store.conversations import Conversation
from webui.store.page_store import PageStore


class _Chat(Data):
    id: str
    side: Side = Side()


class _ChatLog(Data):
    chats: tuple[_Chat, ...] = ()


class _Shared(Data):
    hidden: bool = False
    votes: dict[str, Choice] = Field(default_factory=dict)
    rater_id: str = Field(default="", max_length=100)


COMPARE_KEYS = ("compare", "compare-left", "compare-right", "compare-left-marks", "compare-right-marks")


def old_states(*keys: str) -> list[gr.BrowserState]:
    """What the browser may still keep under `keys`, in their order."""
    return [browser_state(key) for key in keys]


async def take_over_chats(store: PageStore, user: str, stored: object) -> None:
    """Every chat of an earlier version becomes a conversation. Raises StoreFailed."""
    try:
        log = _ChatLog.model_validate(stored or {})
    except ValidationError:
        return
    for chat in reversed(log.chats):  # the newest last, so that it is the newest again
        if chat.side.turns and _is_id(chat.id):
            await store.conversations.take_over(user, _kept(chat.id, chat=chat.side))


async def take_over_comparison(store: PageStore, user: str, stored: Sequence[object]) -> None:
    """The comparison of an earlier version, with its rater, votes and ratings. Raises StoreFailed."""
    shared_state, left_state, right_state, left_marks, right_marks = stored
    try:
        shared = _Shared.model_validate(shared_state or {})
    except ValidationError:
        shared = _Shared()
    if shared.rater_id:
        await store.users.rater_id(user, shared.rater_id)
    left, right = load_side(left_state), load_side(right_state)
    if left.last is None or right.last is None or not _is_id(left.turns[0].id):
        return
    made = _kept(str(uuid.uuid5(uuid.NAMESPACE_OID, left.turns[0].id)), left=left, right=right)
    marks = {**load_marks(left_marks), **load_marks(right_marks)}
    await store.conversations.take_over(
        user,
        Conversation(
            id=made.id,
            kind=made.kind,
            title=made.title,
            pinned=False,
            hidden=shared.hidden,
            sides=made.sides,
            marks=marks,
            votes=shared.votes,
        ),
    )


def _kept(conversation_id: str, **sides: Side) -> Conversation:
    return Conversation(
        id=conversation_id,
        kind="chat" if "chat" in sides else "compare",
        title="",
        pinned=False,
        hidden=False,
        sides=sides,
        marks={},
        votes={},
    )


def _is_id(words: str) -> bool:
    try:
        return bool(uuid.UUID(words))
    except ValueError:
        return False
