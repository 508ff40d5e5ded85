"""What administrators make of votes and ratings: some are left out of results and trainings."""

import sqlalchemy as sa

from common.database import Database
from common.errors import Conflict, NotFound
from common.feedback import Kind, Review
from server.store.tables import ratings, votes

TABLES = {"votes": votes, "ratings": ratings}


class Reviews:
    """Writes reviews. All calls may raise StoreFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, kind: Kind, key_id: str, row_id: str, seen: Review, wanted: Review) -> None:
        """Keep `wanted` in place of `seen`. A vote on one of several pairs of a comparison is left out, or
        taken back, with those on the others. Raises NotFound, and Conflict where somebody else was faster."""
        table = TABLES[kind]
        this = (table.c.key_id == key_id) & (table.c.id == row_id)
        as_seen = (table.c.excluded == seen.excluded) & table.c.note.is_not_distinct_from(seen.note)
        values = {"excluded": wanted.excluded, "note": wanted.note}

        def work(connection: sa.Connection) -> bool:
            if connection.execute(table.update().where(this, as_seen).values(**values)).rowcount:
                if kind == "votes" and wanted.excluded != seen.excluded:
                    _exclude_with(connection, this, excluded=wanted.excluded)
                return True
            if connection.scalar(sa.select(table.c.id).where(this)) is None:
                raise NotFound(f"There is no feedback {row_id!r} of the key {key_id!r}.", param="id")
            return False

        if not await self._database.run(work):
            raise Conflict(
                "Somebody else has reviewed this meanwhile.",
                code="review_changed",
                hint="Look at it again, then save.",
            )


def _exclude_with(connection: sa.Connection, one: sa.ColumnElement[bool], *, excluded: bool) -> None:
    """All votes of the comparison that `one` belongs to, if it does: they are one look at answers."""
    told = connection.execute(
        sa.select(votes.c.key_id, votes.c.comparison, votes.c.rater_id).where(one)
    ).one()
    if told.comparison is not None:
        same = (votes.c.key_id == told.key_id) & (votes.c.comparison == told.comparison)
        rater = votes.c.rater_id.is_not_distinct_from(told.rater_id)
        connection.execute(votes.update().where(same, rater).values(excluded=excluded))
