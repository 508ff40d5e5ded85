"""The gateway's database: feedback, keys, limits and the usage ledger. SQLite or PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from common.database import Database
from common.database_opening import Schema, open_database

SETTING = "gateway.database_url"
SCHEMA = Schema(migrations=Path(__file__).parent / "migrations", setting=SETTING, lock=0x6B6F646F)


class GatewayStore:
    """The gateway's open database, with this version's schema."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def check(self) -> None:
        """One round trip, for health checks. Raises StoreFailed."""
        await self.database.run(lambda connection: connection.execute(sa.select(1)).scalar_one())


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[GatewayStore]:
    """Create or upgrade the database at `url` and open it. Raises UserError when it can't be used."""
    async with open_database(url, SCHEMA) as database:
        yield GatewayStore(database)
