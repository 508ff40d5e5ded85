"""The catalogue in a PostgreSQL database, which several services share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from documents.postgres.database import PostgresDatabase, Session
from documents.service.catalogue import Catalogue, Row, Values

WRITING = 0x6B6F6471
"""Number of the advisory lock of who changes it."""


class PostgresCatalogue(Catalogue):
    """One transaction at a time, in all processes, as with SQLite."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._in_transaction: Session | None = None

    def close(self) -> None:
        """The database is closed by whoever has opened it."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Of this thread; others wait."""
        with self._lock:
            if self._in_transaction is not None:
                yield
                return
            with self._database.session() as session, session.transaction():
                session.rows("SELECT pg_advisory_xact_lock(?)", [WRITING])
                self._in_transaction = session
                try:
                    yield
                finally:
                    self._in_transaction = None

    @contextmanager
    def alone(self, work: str) -> Iterator[bool]:
        """An advisory lock, which the server takes back from a connection that is gone."""
        with self._database.session() as session:
            taken = session.row("SELECT pg_try_advisory_lock(?, hashtext(?)) AS mine", [WRITING, work])[
                "mine"
            ]
            try:
                yield taken
            finally:
                if taken:
                    session.rows("SELECT pg_advisory_unlock(?, hashtext(?))", [WRITING, work])

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Seen by the transaction of this thread, if it is in one."""
        with self._lock:
            if self._in_transaction is not None:
                return [dict(row) for row in self._in_transaction.rows(sql, values)]
        with self._database.session() as session:
            return [dict(row) for row in session.rows(sql, values)]

    def change(self, sql: str, values: Values = ()) -> int:
        """In a transaction."""
        with self.transaction():
            assert self._in_transaction is not None
            return self._in_transaction.change(sql, values)
