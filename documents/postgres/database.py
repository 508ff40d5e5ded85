"""One process's connections to PostgreSQL, for its threads.

The driver is asyncpg, as everywhere in kodolly: a thread of its own runs its event loop, and each statement
of another thread waits there.
"""

import asyncio
import itertools
import re
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from common.database import StoreFailed, driver_url, is_sqlite
from common.database_opening import Schema, open_database
from common.errors import UserError

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")
SETTING = "documents.database_url"
NAMESPACE = "kodolly_documents"
"""PostgreSQL's schema that holds all tables: the gateway may have the same database."""
VERSION_TABLE = "documents_version"
SCHEMA = Schema(
    migrations=Path(__file__).parent / "migrations",
    setting=SETTING,
    lock=0x6B6F6463,
    version_table=VERSION_TABLE,
)
CONNECTIONS = 20
PLANS = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
"""A plan kept for all values is far off for lists of terms, and compiling one takes longer than it runs."""
Value = str | int | float | bytes | None | list[str] | list[int] | list[float]
_MARK = re.compile(r"\?")


class Session:
    """A connection that one thread uses at a time."""

    def __init__(self, database: "PostgresDatabase", connection: "asyncpg.Connection[Any]") -> None:
        self._database, self._connection = database, connection

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Any]:
        """What a query finds, as asyncpg's records. `?` marks a value. Raises StoreFailed, as all do."""
        return self._database.waited(self._connection.fetch(_numbered(sql), *map(_storable, values)))

    def row(self, sql: str, values: Sequence[Value] = ()) -> Any:
        """The first of `rows`; None where there is none."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def change(self, sql: str, values: Sequence[Value] = ()) -> int:
        """How many rows the statement has changed."""
        told = self._database.waited(self._connection.execute(_numbered(sql), *map(_storable, values)))
        last = told.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    def change_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """The same statement for each of these values."""
        given = [tuple(map(_storable, values)) for values in rows]
        self._database.waited(self._connection.executemany(_numbered(sql), given))

    @contextmanager
    def transaction(self, kind: str = "") -> Iterator[None]:
        """All that is done in it, or nothing; `kind` stands behind BEGIN."""
        self.change(f"BEGIN {kind}")
        try:
            yield
            self.change("COMMIT")
        except BaseException:
            if not self._connection.is_closed():
                self.change("ROLLBACK")
            raise


class PostgresDatabase:
    """Its connections; to be closed."""

    def __init__(self, url: str) -> None:
        """Create or migrate the tables. Raises UserError where that cannot be done."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="documents database", daemon=True)
        self._thread.start()
        try:
            self.waited(_migrated(url))
        except BaseException:
            self._stop()
            raise
        self._engine = create_async_engine(
            driver_url(url, SETTING),
            pool_size=CONNECTIONS,
            pool_pre_ping=True,
            connect_args={"server_settings": {"search_path": NAMESPACE, **PLANS}},
        )

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection for the block. Raises StoreFailed where the database is away."""
        opened, driver = self.waited(self._opened())
        try:
            yield Session(self, driver)
        finally:
            self.waited(opened.close())

    async def _opened(self) -> "tuple[AsyncConnection, asyncpg.Connection[Any]]":
        opened = await self._engine.connect()
        driver = (await opened.get_raw_connection()).driver_connection
        assert driver is not None
        return opened, driver

    def waited(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns, on the loop of the connections. Raises StoreFailed for what the database
        reports, UserError for values that it cannot hold, which it never will."""
        import asyncpg

        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
            raise UserError(
                f"The database of the documents cannot hold this ({type(error).__name__})."
            ) from error
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            raise StoreFailed(
                f"The database of the documents failed: {reason}.",
                hint=f"Check the server that {SETTING} names.",
            ) from error

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        self.waited(self._engine.dispose())
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def require_postgres(url: str) -> None:
    """Raises UserError for a URL of another database."""
    if is_sqlite(driver_url(url, SETTING)):
        raise UserError(
            f"{SETTING} names SQLite, which needs no URL.",
            hint="Leave it out for files below the state directory, or name a PostgreSQL database.",
        )


async def _migrated(url: str) -> None:
    async with open_database(url, SCHEMA):
        pass


def _numbered(sql: str) -> str:
    """`?` as PostgreSQL's $1, $2 ..."""
    numbers = itertools.count(1)
    return _MARK.sub(lambda _: f"${next(numbers)}", sql)


def _storable(value: Value) -> Value:
    """PostgreSQL's text cannot hold NUL; a name with one keeps its length."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
