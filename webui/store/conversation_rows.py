"""The rows that a conversation consists of, added and changed within a transaction of the caller's."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from common.graphemes import cut
from webui.conversation import AttachedFile, Mark, Turn, dump
from webui.store.tables import TITLE_CHARACTERS, answers, conversations, turn_files, turns

OUTCOME = {"reasoning", "finish_reason", "metrics", "request_id", "checkpoint", "failure"}
"""Fields of a turn that say how its answer came, kept as one JSON value."""

# Made once: to put such a statement together takes longer than to execute it.
_ADD_CONVERSATION, _ADD_TURN, _ADD_ANSWER = (sa.insert(table) for table in (conversations, turns, answers))


def add_conversation(
    connection: sa.Connection,
    user: str,
    kind: str,
    question: str,
    *,
    hidden: bool,
    known: str | None = None,
) -> str:
    """A new conversation, which is titled by its first question; returns its id: `known`, or a random one."""
    made = known or str(uuid.uuid4())
    row: dict[str, Any] = {"id": made, "user_id": user, "kind": kind, "title": as_title(question)}
    row |= {"pinned": False, "hidden": hidden, "updated": datetime.now(UTC)}
    connection.execute(_ADD_CONVERSATION, row)
    return made


def add_turn(
    connection: sa.Connection,
    conversation_id: str,
    question: str,
    context: str = "",
    files: Sequence[AttachedFile] = (),
    *,
    first: bool = False,
) -> str:
    """The next question of a conversation; returns the turn's id. `first`: it is known to have none."""
    last = sa.select(sa.func.max(turns.c.position)).where(turns.c.conversation_id == conversation_id)
    position = 1 if first else (connection.scalar(last) or 0) + 1
    turn_id = str(uuid.uuid4())
    row: dict[str, Any] = {
        "id": turn_id,
        "conversation_id": conversation_id,
        "position": position,
        "question": question,
    }
    row |= {"context": context, "withdrawn": False, "files": [dump(file) for file in files] or None}
    connection.execute(_ADD_TURN, row)
    if files:
        rows = [{"turn_id": turn_id, "file_id": file.id} for file in files]
        connection.execute(sa.insert(turn_files), rows)
    return turn_id


def add_answer(
    connection: sa.Connection,
    turn_id: str,
    pane: str,
    turn: Turn,
    mark: Mark | None = None,
    *,
    version: int = 1,
) -> None:
    """An answer to a turn in one pane."""
    row: dict[str, Any] = {
        "id": turn.id,
        "turn_id": turn_id,
        "pane": pane,
        "version": version,
        "setup": dump(turn.setup),
    }
    row |= {"mark": dump(mark) if mark else None, **answer_values(turn)}
    connection.execute(_ADD_ANSWER, row)


def add_version(connection: sa.Connection, turn_id: str, pane: str, turn: Turn) -> None:
    """Another answer to a turn in one pane: the newest version there."""
    of = (answers.c.turn_id == turn_id) & (answers.c.pane == pane)
    version = connection.scalar(sa.select(sa.func.max(answers.c.version)).where(of)) or 0
    connection.execute(sa.update(answers).where(of).values(chosen=False))
    add_answer(connection, turn_id, pane, turn, version=version + 1)


def answer_values(turn: Turn) -> dict[str, Any]:
    """The columns that change while an answer comes."""
    outcome = turn.model_dump(mode="json", include=OUTCOME)
    return {
        "answer": turn.answer,
        "state": turn.state,
        "outcome": outcome,
        "written": datetime.now(UTC),
    }


def last_turn(connection: sa.Connection, conversation_id: str) -> tuple[str, str]:
    """(id, question) of the last turn that was not withdrawn; there must be one."""
    row = connection.execute(
        sa.select(turns.c.id, turns.c.question)
        .where(turns.c.conversation_id == conversation_id, turns.c.withdrawn.is_(False))
        .order_by(turns.c.position.desc())
        .limit(1)
    ).one()
    return row.id, row.question


def mark_as_changed(connection: sa.Connection, conversation_id: str) -> None:
    """Lists put it first from now on."""
    changed = sa.update(conversations).where(conversations.c.id == conversation_id)
    connection.execute(changed.values(updated=datetime.now(UTC)))


def set_fields(connection: sa.Connection, user: str, conversation_id: str, **values: Any) -> None:
    """Set columns of a conversation, if it is the user's."""
    mine = (conversations.c.id == conversation_id) & (conversations.c.user_id == user)
    connection.execute(sa.update(conversations).where(mine).values(**values))


def as_title(words: str) -> str:
    """One line, at most as long as the column allows."""
    return cut(" ".join(words.split()), TITLE_CHARACTERS)
