"""The database under a part's store, SQLite or PostgreSQL: whole transactions, beside the event loop.

Work is a plain function of a connection, the same for both. On SQLite it runs in a thread from its first
statement to its last: with a change of threads for each statement, a transaction waits for its turn on a busy
loop a dozen times. On PostgreSQL it waits for the network without a thread.
"""

import asyncio
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from common.errors import InternalError, UserError

T = TypeVar("T")

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
"""Database -> SQLAlchemy's dialect with the driver."""
URL_HINT = (
    "Example: postgresql://HOST:5432/NAME, with user:password@ before HOST and / @ : # in it %-encoded."
)
_SSL_MODES = "disable|allow|prefer|require|verify-ca|verify-full"
PARAMETERS = {
    "sslmode": _SSL_MODES,
    "ssl": _SSL_MODES,
    "connect_timeout": r"[1-9]\d{0,3}",
    "target_session_attrs": "any|primary|standby|prefer-standby|read-write|read-only",
    "application_name": r"[ -~]{1,63}",
}
"""What may stand behind `?` of a PostgreSQL URL, as libpq names it -> the values that it may have."""
SQLITE_THREADS = 4
"""A long report does not hold up the leases of limits."""
BUSY_S = 5.0
"""Longest wait for another writer of a SQLite file."""


class StoreFailed(InternalError):
    """The database did not take or give the rows: disk full, server gone."""

    default_code = "store_failed"


@dataclass(slots=True)
class StoreHealth:
    """How the store has answered so far."""

    failures: int = 0
    answered: float = field(default_factory=time.monotonic)
    """Monotonic seconds of the last transaction that went well."""

    def silence_s(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.answered


class WriteTurns:
    """The threads of one process take turns in writing to a SQLite file, which takes one writer at a time.

    Left to SQLite, whoever waits sleeps up to 100 ms between two looks: thirty short transactions that come
    at once then take as long as a second. For other processes SQLite itself waits.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._mine = threading.local()

    def before_statement(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """Wait for the turn before the first statement of a transaction that writes."""
        if statement.startswith("SELECT") or getattr(self._mine, "held", False):
            return
        # After as long SQLite itself would give up: its own wait then says so.
        self._mine.held = self._turn.acquire(timeout=BUSY_S)

    @contextmanager
    def ended_after(self) -> Iterator[None]:
        """Whatever turn is taken within the block ends with it."""
        try:
            yield
        finally:
            if getattr(self._mine, "held", False):
                self._mine.held = False
                self._turn.release()


class Database:
    """One process's connections. To be closed."""

    def __init__(self, url: URL) -> None:
        """`url` as `driver_url` gives it. Raises ModuleNotFoundError when the driver is not installed."""
        self.health = StoreHealth()
        self._threads: ThreadPoolExecutor | None = None
        self._file: str | None = None
        """SQLite's file, as soon as there is one. Once deleted, it would still take rows, and keep none."""
        if is_sqlite(url):
            # A database in memory is one connection's alone, and that one thread's.
            threads = 1 if url.database in (None, "", ":memory:") else SQLITE_THREADS
            self._sync = sa.create_engine(
                url, json_serializer=_json, pool_size=threads, connect_args={"check_same_thread": False}
            )
            self._threads = ThreadPoolExecutor(threads, "database")
            self._writing = WriteTurns()
            sa.event.listen(self._sync, "connect", _sqlite_defaults)
            sa.event.listen(self._sync, "before_cursor_execute", self._writing.before_statement)
            sa.event.listen(self._sync, "commit", self._note_file)
        else:
            target, arguments = _asyncpg_arguments(url)
            self._async = create_async_engine(
                target, json_serializer=_json, pool_pre_ping=True, connect_args=arguments
            )

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, in one transaction, which an exception rolls back. It must not touch what
        belongs to the event loop. Raises StoreFailed for what the database reports.

        Cancelled, a transaction that has not been committed yet will not be.
        """
        with _store_errors(self.health):
            if self._threads is None:
                async with self._async.begin() as connection:
                    return await connection.run_sync(work)
            cancelled = False

            def transaction() -> T:
                if self._file is not None:
                    os.stat(self._file)  # raises OSError
                with self._writing.ended_after(), self._sync.begin() as connection:
                    found = work(connection)
                    if cancelled:
                        raise asyncio.CancelledError
                    return found

            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, transaction)
            except asyncio.CancelledError:
                cancelled = True
                raise

    def _note_file(self, connection: sa.Connection) -> None:
        file = connection.engine.url.database
        if file and os.path.exists(file):
            self._file = file

    async def close(self) -> None:
        """End all connections; what runs is waited for."""
        if self._threads is None:
            await self._async.dispose()
        else:
            await asyncio.to_thread(self._threads.shutdown)
            self._sync.dispose()


def driver_url(url: str, setting: str) -> URL:
    """`url`, the value of `setting`, with the driver that is used here, whatever driver it names.

    Raises UserError for what is no URL, or one of another database than SQLite and PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its text may quote a password
        raise UserError(f"{setting} is no database URL.", hint=URL_HINT) from None
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise UserError(f"{setting} has a port that is not from 1 to 65535.", hint=URL_HINT)
    backend = parsed.get_backend_name()
    if backend not in DRIVERS:
        raise UserError(f"{setting} names {backend}; the store is SQLite or PostgreSQL.", hint=URL_HINT)
    if DRIVERS[backend] != "sqlite":
        _check_parameters(parsed, setting)
    return parsed.set(drivername=DRIVERS[backend])


def _check_parameters(url: URL, setting: str) -> None:
    """Raises UserError for what stands behind `?` and asyncpg does not know, or not in this form."""
    for name, value in url.query.items():
        allowed = PARAMETERS.get(name)
        if allowed is None:
            known = ", ".join(PARAMETERS)
            hint = f"Known are {known}. Certificates are named by PGSSLROOTCERT, PGSSLCERT and PGSSLKEY."
            raise UserError(f"{setting} has the parameter {name!r}, which is not known.", hint=hint)
        if not isinstance(value, str) or not re.fullmatch(allowed, value):
            raise UserError(f"{setting}: the value of {name!r} cannot be used.", hint=URL_HINT)


def _asyncpg_arguments(url: URL) -> tuple[URL, dict[str, Any]]:
    """(the URL without parameters, what asyncpg makes of them): libpq and asyncpg name some differently."""
    given = {name: str(value) for name, value in url.query.items()}
    arguments: dict[str, Any] = {}
    if mode := given.get("sslmode") or given.get("ssl"):
        arguments["ssl"] = mode
    if seconds := given.get("connect_timeout"):
        arguments["timeout"] = float(seconds)
    if attributes := given.get("target_session_attrs"):
        arguments["target_session_attrs"] = attributes
    if application := given.get("application_name"):
        arguments["server_settings"] = {"application_name": application}
    return url.set(query={}), arguments


def is_sqlite(url: URL) -> bool:
    """Whether the database is a file of ours."""
    return url.get_backend_name() == "sqlite"


@contextmanager
def _store_errors(health: StoreHealth) -> Iterator[None]:
    try:
        yield
        health.answered = time.monotonic()
    except (SQLAlchemyError, OSError) as error:  # a server that is gone is an OSError of the driver
        health.failures += 1
        reason = type(getattr(error, "orig", None) or error).__name__
        raise StoreFailed(
            f"The database failed: {reason}.",
            hint="Check the disk of the state directory, or the database server.",
        ) from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _sqlite_defaults(connection: Any, _record: Any) -> None:
    """WAL lets readers go on during a write. What is deleted is gone from the file and its backups, too: not
    every SQLite is built so."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()
