"""Rows of answers as what a pane shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from webui.conversation import Mark, Turn
from webui.store.growing_answers import note_looks, state_of
from webui.store.tables import answers, conversations, turns

ASKED = (turns.c.question, turns.c.context, turns.c.files)
"""What `turn_of` needs beside an answer."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer as a pane shows it."""

    turn: Turn
    hidden: bool
    """The name of its model is hidden."""
    mark: Mark
    """What its reader thinks of it."""


def shown_answers(connection: sa.Connection, user: str, answer_ids: Sequence[str]) -> dict[str, Shown]:
    """Answers of the user's by their ids, which from now on are looked at."""
    query = (
        sa.select(answers, *ASKED, conversations.c.hidden)
        .join(turns, turns.c.id == answers.c.turn_id)
        .join(conversations, conversations.c.id == turns.c.conversation_id)
        .where(answers.c.id.in_(answer_ids))
        .where(conversations.c.user_id == user, conversations.c.deleted.is_(None))
    )
    rows = connection.execute(query).all()
    note_looks(connection, rows)
    return {row.id: Shown(turn_of(row), row.hidden, mark_of(row.mark)) for row in rows}


def turn_of(row: sa.Row[Any]) -> Turn:
    """A turn, of a row of `answers` with ASKED."""
    asked = {"id": row.id, "question": row.question, "context": row.context, "files": row.files or ()}
    answered = {"answer": row.answer, "state": state_of(row), "setup": row.setup}
    return Turn.model_validate({**row.outcome, **asked, **answered})


def mark_of(kept: object) -> Mark:
    """What a reader thinks of an answer, as its record has it."""
    return Mark.model_validate(kept or {})
