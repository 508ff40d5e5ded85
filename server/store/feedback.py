"""Votes and ratings in the database: each belongs to the key that sent it."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from common.errors import BadRequest, NotFound
from common.feedback import Kind, Rating, Vote
from server.store.database import Database
from server.store.owner import Owner
from server.store.tables import ratings, votes

TABLES: Mapping[Kind, sa.Table] = {"votes": votes, "ratings": ratings}


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, the newest first."""

    rows: list[dict[str, Any]]
    next: str | None
    """Cursor of the page behind this one; None when this is the last."""


class FeedbackStore:
    """Reads and writes feedback. All calls may raise StoreFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_vote(self, owner: Owner, vote_id: str, vote: Vote) -> None:
        """Store the vote under `vote_id`, replacing the owner's earlier one."""
        values = {
            "choice": vote.choice,
            "blind": vote.blind,
            "left_model": vote.left.model,
            "right_model": vote.right.model,
            "locale": vote.locale,
            "left": vote.left.model_dump(mode="json"),
            "right": vote.right.model_dump(mode="json"),
            "rater_id": vote.rater_id,
        }
        await self._database.run(lambda connection: _put(connection, votes, owner, vote_id, values))

    async def put_rating(self, owner: Owner, rating_id: str, rating: Rating) -> None:
        """Store the rating under `rating_id`, replacing the owner's earlier one."""
        values = {
            "model": rating.answer.model,
            "score": rating.score,
            "tags": rating.tags,
            "blind": rating.blind,
            "locale": rating.locale,
            "answer": rating.answer.model_dump(mode="json"),
            "rater_id": rating.rater_id,
        }
        await self._database.run(lambda connection: _put(connection, ratings, owner, rating_id, values))

    async def get(self, kind: Kind, owner: Owner, row_id: str) -> dict[str, Any]:
        """One row. Raises NotFound, for another key's row too."""
        table = TABLES[kind]

        def read(connection: sa.Connection) -> dict[str, Any] | None:
            key_id = _key_of(connection, table, owner, row_id)
            found = connection.execute(table.select().where(_is(table, key_id, row_id))).mappings().first()
            return _shown(found) if found is not None else None

        row = await self._database.run(read)
        if row is None:
            raise _not_found(row_id)
        return row

    async def delete(self, kind: Kind, owner: Owner, row_id: str) -> None:
        """Take one row away. Raises NotFound, for another key's row too."""
        table = TABLES[kind]

        def delete(connection: sa.Connection) -> int:
            key_id = _key_of(connection, table, owner, row_id)
            return connection.execute(table.delete().where(_is(table, key_id, row_id))).rowcount

        if await self._database.run(delete) == 0:
            raise _not_found(row_id)

    async def page(self, kind: Kind, owner: Owner, limit: int, after: str | None = None) -> Page:
        """The newest `limit` rows behind the cursor `after`. Raises BadRequest for a broken cursor.

        A row keeps its place when it is replaced, and new ones come before the first: whoever follows the
        pages to their end sees every row that was there at the start exactly once.
        """
        table = TABLES[kind]
        order = (table.c.created, table.c.id, table.c.key_id)
        query = table.select().order_by(*(column.desc() for column in order)).limit(limit + 1)
        if not owner.sees_all:
            query = query.where(table.c.key_id == owner.key_id)
        if after is not None:
            query = query.where(sa.tuple_(*order) < sa.tuple_(*_cursor_values(table, after)))

        def read(connection: sa.Connection) -> list[dict[str, Any]]:
            return [_shown(row) for row in connection.execute(query).mappings()]

        rows = await self._database.run(read)
        more = len(rows) > limit
        return Page(rows[:limit], _cursor(rows[limit - 1]) if more else None)


def _put(
    connection: sa.Connection, table: sa.Table, owner: Owner, row_id: str, values: Mapping[str, Any]
) -> None:
    key_id = _key_of(connection, table, owner, row_id)
    if connection.execute(table.update().where(_is(table, key_id, row_id)).values(**values)).rowcount == 0:
        connection.execute(
            table.insert().values(key_id=key_id, id=row_id, created=datetime.now(UTC), **values)
        )


def _key_of(connection: sa.Connection, table: sa.Table, owner: Owner, row_id: str) -> str:
    """Whose row with this id is meant: the owner's own; for an administrator, else, the first stored."""
    if not owner.sees_all:
        return owner.key_id
    rows = sa.select(table.c.key_id).where(table.c.id == row_id).order_by(table.c.created)
    keys = list(connection.execute(rows).scalars())
    return owner.key_id if owner.key_id in keys or not keys else str(keys[0])


def _is(table: sa.Table, key_id: str, row_id: str) -> sa.ColumnElement[bool]:
    return (table.c.key_id == key_id) & (table.c.id == row_id)


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    created: datetime = row["created"]
    # SQLite keeps no time zone; all that we store is UTC.
    return {**row, "created": created.replace(tzinfo=created.tzinfo or UTC).isoformat()}


def _cursor(row: Mapping[str, Any]) -> str:
    place = json.dumps([row["created"], row["id"], row["key_id"]])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _cursor_values(table: sa.Table, cursor: str) -> list[sa.ColumnElement[Any]]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created, row_id, key_id = json.loads(text)
        moment = datetime.fromisoformat(created).astimezone(UTC)
    except (binascii.Error, ValueError, TypeError, OverflowError) as error:
        raise BadRequest(
            "This is not a cursor.", param="after", hint="Send the `next` of the page before."
        ) from error
    values = ((table.c.created, moment), (table.c.id, str(row_id)), (table.c.key_id, str(key_id)))
    return [sa.literal(value, column.type) for column, value in values]


def _not_found(row_id: str) -> NotFound:
    return NotFound(f"There is no feedback {row_id!r} of this key.", param="id")
