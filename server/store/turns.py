"""Turns of `kodolly improve`, as they have told of themselves."""

from datetime import UTC, datetime

import sqlalchemy as sa

from common.database import Database
from common.improvement import ImprovementTurn, StoredTurn
from common.leaderboard.judgements import in_utc
from server.store.tables import turns

LISTED = 100


class ImprovementTurns:
    """Reads and writes them. All calls may raise StoreFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, turn_id: str, turn: ImprovementTurn) -> None:
        """Keep what a turn says, in place of what it said before."""
        begun = in_utc(turn.begun)  # SQLite keeps no time zone, and would order turns by their clocks
        values = {"told": datetime.now(UTC), "turn": turn.model_dump(mode="json")}

        def work(connection: sa.Connection) -> None:
            this = turns.update().where(turns.c.id == turn_id).values(**values)
            if connection.execute(this).rowcount == 0:
                connection.execute(turns.insert().values(id=turn_id, begun=begun, **values))

        await self._database.run(work)

    async def newest(self) -> list[StoredTurn]:
        """Those that began last."""
        query = sa.select(turns).order_by(turns.c.begun.desc(), turns.c.id).limit(LISTED)
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [
            StoredTurn(id=row.id, told=row.told.replace(tzinfo=row.told.tzinfo or UTC), **row.turn)
            for row in rows
        ]
