"""Answers while they come. Of several processes over one store, the one that was asked fetches an answer and
writes it, and whoever a page asks may end it.

An answer's `written` is its lease: while its process lives, it writes about once a second. `stopping` is
a state of the record alone: somebody has asked for the end, and the process that fetches it sees so with its
next write. To readers it still runs until then, so that no page sees less of it than it has shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from webui.conversation import Turn, TurnState
from webui.store.conversation_rows import answer_values
from webui.store.tables import answers, conversations, turns

ABANDONED_S = 20.0
"""An answer that says `running` and was written longer ago has lost the process that fetched it."""
STOPPING_S = 10.0
"""The same for one that was asked to end."""
LOOKED_EVERY_S = 2.0
"""How often a look through another process is noted."""


@dataclass(frozen=True, slots=True)
class AnswerStanding:
    """What has become of an answer's record while its text came."""

    wanted: bool
    """False: it was stopped, deleted or given up, and nothing more of it is kept."""
    hidden: bool
    """The name of its model is hidden."""
    looked_ago_s: float | None = None
    """Since a page last looked at it through another process; None when none has."""


# Made once: to put such a statement together takes longer than to execute it.
_KNOWN = answers.c.id == sa.bindparam("known")
_WRITE = sa.update(answers).where(_KNOWN, answers.c.state.in_(sa.bindparam("open_states", expanding=True)))
_STANDING = (
    sa.select(conversations.c.hidden, answers.c.looked)
    .join(turns, turns.c.conversation_id == conversations.c.id)
    .join(answers, answers.c.turn_id == turns.c.id)
    .where(_KNOWN)
)


def write_growing(connection: sa.Connection, turn: Turn) -> AnswerStanding:
    """Keep an answer as far as it came, unless somebody has ended it. One that was asked to end takes its
    last words, and no others."""
    open_states = ("running",) if turn.state == "running" else ("running", "stopping")
    which = {"known": turn.id, "open_states": open_states}
    written = connection.execute(_WRITE, which | answer_values(turn))
    row = connection.execute(_STANDING, {"known": turn.id}).first()
    if row is None:
        return AnswerStanding(wanted=False, hidden=False)
    looked_ago_s = _seconds_since(row.looked) if row.looked is not None else None
    return AnswerStanding(written.rowcount == 1, row.hidden, looked_ago_s)


def note_looks(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> None:
    """Have whoever fetches these answers know that a page looks at them."""
    coming = [row for row in rows if row.state == "running"]
    seen = [row.id for row in coming if row.looked is None or _seconds_since(row.looked) > LOOKED_EVERY_S]
    if seen:
        looked = sa.update(answers).where(answers.c.id.in_(seen)).values(looked=datetime.now(UTC))
        connection.execute(looked)


def ask_to_end(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    """Have whoever fetches the answers that are `which` end them."""
    running = sa.update(answers).where(which, answers.c.state == "running")
    connection.execute(running.values(state="stopping", written=datetime.now(UTC)))


def give_up_abandoned(connection: sa.Connection, conversation_id: str) -> None:
    """Settle the answers of a conversation whose process is gone: should it come back, it writes no more."""
    now = datetime.now(UTC)
    lost = sa.or_(
        (answers.c.state == "running") & (answers.c.written < now - timedelta(seconds=ABANDONED_S)),
        (answers.c.state == "stopping") & (answers.c.written < now - timedelta(seconds=STOPPING_S)),
    )
    of = answers_of(conversation_id)
    connection.execute(sa.update(answers).where(of, lost).values(state="stopped"))


def answers_of(conversation_id: str) -> sa.ColumnElement[bool]:
    """Those of one conversation."""
    ids = sa.select(turns.c.id).where(turns.c.conversation_id == conversation_id)
    return answers.c.turn_id.in_(ids)


def state_of(row: sa.Row[Any]) -> TurnState:
    """The state in which readers see an answer's record."""
    if row.state not in ("running", "stopping"):
        state: TurnState = row.state
        return state
    lease_s = ABANDONED_S if row.state == "running" else STOPPING_S
    return "stopped" if _seconds_since(row.written) > lease_s else "running"


def _seconds_since(kept: datetime) -> float:
    moment = kept if kept.tzinfo else kept.replace(tzinfo=UTC)  # SQLite keeps no time zone
    return (datetime.now(UTC) - moment).total_seconds()
