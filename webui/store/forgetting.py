"""Deletes all that the web UI keeps of one rater."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from webui.store.tables import (
    answers,
    conversations,
    files,
    folders,
    presets,
    sessions,
    settings,
    shares,
    study_tasks,
    turn_files,
    turns,
    users,
    votes,
)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was deleted."""

    conversations: int
    """Deleted ones among them, which their user could have brought back."""
    presets: int
    judgements: int
    """Of studies: others may judge those prompts instead while the study is open."""


def delete_rater(connection: sa.Connection, rater: str) -> Forgotten:
    """Delete the user whom the gateway knows as `rater`: conversations with their shared addresses, settings,
    folders, presets (shared ones too), logins, and what was judged in studies. A browser that comes again is
    new."""
    found = connection.scalars(sa.select(users.c.id).where(users.c.rater_id == rater)).all()
    gone = sum(_delete_conversations(connection, user) for user in found)
    kept = sum(_delete(connection, presets, presets.c.user_id == user) for user in found)
    for user in found:
        for table in (settings, sessions, folders, files):
            _delete(connection, table, table.c.user_id == user)
    judged = _free_tasks(connection, study_tasks.c.rater_id == rater)
    judged += _free_tasks(connection, study_tasks.c.user_id.in_(found))
    _delete(connection, users, users.c.rater_id == rater)
    return Forgotten(gone, kept, judged)


def _delete_conversations(connection: sa.Connection, user: str) -> int:
    """With every row that is about them. A process that still fetches an answer finds it unwanted."""
    theirs = sa.select(conversations.c.id).where(conversations.c.user_id == user)
    asked = sa.select(turns.c.id).where(turns.c.conversation_id.in_(theirs))
    _delete(connection, answers, answers.c.turn_id.in_(asked))
    _delete(connection, turn_files, turn_files.c.turn_id.in_(asked))
    for table in (turns, votes, shares):
        _delete(connection, table, table.c.conversation_id.in_(theirs))
    return _delete(connection, conversations, conversations.c.user_id == user)


def _free_tasks(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    """Tasks as nobody has held them; how many of them were judged."""
    judged = sa.select(sa.func.count()).where(which, study_tasks.c.judged.is_not(None))
    count = connection.scalar(judged.select_from(study_tasks)) or 0
    free: dict[str, Any] = dict.fromkeys(
        ("user_id", "rater_id", "due", "shown", "judged", "seconds", "judgement", "send_due")
    )
    connection.execute(sa.update(study_tasks).where(which).values(**free, version=0, sent=0, attempts=0))
    return int(count)


def _delete(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.delete(table).where(which)).rowcount
