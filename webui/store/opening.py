"""The web UI's database, SQLite or PostgreSQL."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from common.database import Database, StoreFailed, driver_url
from common.database_opening import Schema, open_database
from common.errors import UserError

T = TypeVar("T")

VERSION_TABLE = "webui_version"
SCHEMA = Schema(
    migrations=Path(__file__).parent / "migrations",
    setting="webui.database_url",
    lock=0x6B6F6475,
    version_table=VERSION_TABLE,
)


class PageDatabase:
    """The database, opened when it is first needed: the page starts also while it is away. To be closed."""

    def __init__(self, url: str) -> None:
        """Raises UserError for what is no URL of a database."""
        driver_url(url, SCHEMA.setting)
        self._url = url
        self._opening = asyncio.Lock()
        self._open = AsyncExitStack()
        self._database: Database | None = None

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, in one transaction. Raises StoreFailed, also when it cannot be opened."""
        return await (await self._opened()).run(work)

    async def _opened(self) -> Database:
        async with self._opening:
            if self._database is None:
                try:
                    self._database = await self._open.enter_async_context(open_database(self._url, SCHEMA))
                except UserError as error:
                    raise StoreFailed(str(error), hint=error.hint) from error
            return self._database

    async def close(self) -> None:
        """End all connections; what runs is waited for."""
        self._database = None
        await self._open.aclose()
