"""What readers think of answers, kept in the answers' records."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from webui.conversation import Mark, Side, dump
from webui.store.answer_rows import mark_of
from webui.store.conversations import find_conversation
from webui.store.opening import PageDatabase
from webui.store.tables import answers, turns


@dataclass(frozen=True, slots=True)
class JudgedTurn:
    """An answer with its conversation, and what its reader thinks of it."""

    side: Side
    index: int
    """Which turn of `side` it is."""
    mark: Mark


class Opinions:
    """Opinions of all users, each on an answer of their own. Every method raises StoreFailed when the
    database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def keep(self, user: str, answer_id: str, mark: Mark) -> None:
        """Keep an opinion in place of the one before."""

        def work(connection: sa.Connection) -> None:
            if _find(connection, user, answer_id) is not None:
                _write(connection, answer_id, mark)

        await self._database.run(work)

    async def change(self, user: str, answer_id: str, changes: Mapping[str, object]) -> JudgedTurn | None:
        """Change some fields of an opinion, and keep that the gateway has not taken it so.

        None where there is nothing to judge: an answer of somebody else's, one that is deleted, replaced by a
        newer one, or not whole.
        """

        def work(connection: sa.Connection) -> JudgedTurn | None:
            found = _find(connection, user, answer_id)
            if found is None or not found.side.turns[found.index].complete:
                return None
            mark = mark_of({**dump(found.mark), **changes, "sent": False})
            _write(connection, answer_id, mark)
            return JudgedTurn(found.side, found.index, mark)

        return await self._database.run(work)

    async def note_sent(self, user: str, answer_id: str, mark: Mark) -> None:
        """The gateway has taken `mark`; nothing happens where the opinion has changed since."""

        def work(connection: sa.Connection) -> None:
            found = _find(connection, user, answer_id)
            if found is not None and found.mark == mark:
                _write(connection, answer_id, mark.model_copy(update={"sent": True}))

        await self._database.run(work)


def _find(connection: sa.Connection, user: str, answer_id: str) -> JudgedTurn | None:
    this = answers.c.id == answer_id
    # Written before it is read: whoever changes the same opinion at once waits, on SQLite as on PostgreSQL.
    connection.execute(sa.update(answers).where(this).values(written=answers.c.written))
    conversation_id = connection.scalar(
        sa.select(turns.c.conversation_id).join(answers, answers.c.turn_id == turns.c.id).where(this)
    )
    found = find_conversation(connection, user, conversation_id) if conversation_id else None
    for side in found.sides.values() if found else ():
        for index, turn in enumerate(side.turns):
            if found is not None and turn.id == answer_id:
                return JudgedTurn(side, index, found.marks.get(answer_id, Mark()))
    return None


def _write(connection: sa.Connection, answer_id: str, mark: Mark) -> None:
    connection.execute(sa.update(answers).where(answers.c.id == answer_id).values(mark=dump(mark)))
