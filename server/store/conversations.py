"""Conversations that are kept although nobody has judged them: of whom, by which checkpoint, until when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from common.database import Database
from common.feedback import JudgedAnswer
from server.store.owner import Owner, visible
from server.store.tables import conversations


class ConversationStore:
    """Reads and writes them. All calls may raise StoreFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, rows: Sequence[dict[str, object]]) -> None:
        """Store finished conversations, in one transaction; of those under the same key and id the last."""
        newest = {(row["key_id"], row["id"]): row for row in rows}

        def write(connection: sa.Connection) -> None:
            for key_id, row_id in newest:
                connection.execute(_rows(key_id, row_id))
            connection.execute(conversations.insert(), list(newest.values()))

        if newest:
            await self._database.run(write)

    async def of_request(self, owner: Owner, request_id: str) -> JudgedAnswer | None:
        """The owner's conversation under this id; for an administrator, anybody's newest."""
        table = conversations
        query = table.select().where(table.c.id == request_id, visible(table, owner))
        query = query.order_by(table.c.created.desc()).limit(1)

        def read(connection: sa.Connection) -> JudgedAnswer | None:
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            about = ("model", "arm", "checkpoint", "messages", "answer", "finish_reason")
            return JudgedAnswer(request_id=request_id, **{name: row[name] for name in about})

        return await self._database.run(read)

    async def delete_all(self, owner: Owner, key_id: str | None = None) -> int:
        """Delete the owner's; for an administrator those of `key_id`, or everybody's. How many there were."""
        doomed = conversations.delete().where(visible(conversations, owner))
        if key_id is not None:
            doomed = doomed.where(conversations.c.key_id == key_id)
        return await self._database.run(lambda connection: connection.execute(doomed).rowcount)

    async def delete_older(self, days: float) -> None:
        """Delete what is older than so many days."""
        oldest = datetime.now(UTC) - timedelta(days=days)
        old = conversations.delete().where(conversations.c.created < oldest)
        await self._database.run(lambda connection: connection.execute(old).rowcount)


def _rows(key_id: object, row_id: object) -> sa.Delete:
    return conversations.delete().where(conversations.c.key_id == key_id, conversations.c.id == row_id)
