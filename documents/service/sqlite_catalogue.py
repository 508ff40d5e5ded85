"""The catalogue in an SQLite file."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import UserError
from common.private_files import make_private_file
from documents.service.catalogue import Catalogue, Row, Values
from documents.sqlite_transaction import sqlite_transaction

_SCHEMA = """
CREATE TABLE files (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    filename TEXT NOT NULL, bytes INTEGER NOT NULL, purpose TEXT NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE TABLE stores (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    name TEXT NOT NULL, description TEXT NOT NULL, metadata TEXT NOT NULL, shared_with TEXT NOT NULL,
    created_at INTEGER NOT NULL, last_active_at INTEGER NOT NULL, expires_days INTEGER
) STRICT;
CREATE TABLE attached (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    store TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
    file TEXT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    batch TEXT, status TEXT NOT NULL, error_code TEXT NOT NULL, error_message TEXT NOT NULL,
    attributes TEXT NOT NULL, chunk_tokens INTEGER NOT NULL, usage_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL, UNIQUE (store, file)
) STRICT;
CREATE INDEX attached_files ON attached (file);
CREATE INDEX attached_status ON attached (status, place);
CREATE TABLE batches (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    store TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE, created_at INTEGER NOT NULL,
    cancelled INTEGER NOT NULL
) STRICT;
"""
_BINDINGS = """
CREATE TABLE bindings (
    place INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, model TEXT NOT NULL,
    store TEXT NOT NULL, created_at INTEGER NOT NULL
) STRICT;
"""
_UPLOADS = """
CREATE TABLE uploads (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    filename TEXT NOT NULL, bytes INTEGER NOT NULL, purpose TEXT NOT NULL, status TEXT NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, life_s INTEGER
) STRICT;
CREATE TABLE parts (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX parts_of_upload ON parts (upload);
"""
_STEPS = (_SCHEMA, _BINDINGS, _UPLOADS)
"""Statements that upgrade the file, each from one format to the next."""
FORMAT = len(_STEPS)


class SqliteCatalogue(Catalogue):
    """In one file; its one connection is used under a lock."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises UserError for a file that is none, and for one of a newer kodolly."""
        self._lock = threading.RLock()
        try:
            make_private_file(path)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"The catalogue of documents {path} cannot be opened: {error}.") from error

    def _prepare(self) -> None:
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", "busy_timeout = 60000"):
            self._connection.execute(f"PRAGMA {pragma}")
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise UserError(
                f"The catalogue of documents has format {found}, which this kodolly does not know.",
                hint="Use the kodolly that made it.",
            )
        with self.transaction():
            for step in _STEPS[found:]:
                for statement in filter(str.strip, step.split(";\n")):
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done in it, or nothing; no other thread comes between. One within another is part of
        it."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            with sqlite_transaction(self._connection):
                yield

    @contextmanager
    def alone(self, work: str) -> Iterator[bool]:
        """Always: a state directory has one service."""
        yield True

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """What a SELECT finds."""
        with self._lock:
            return [dict(row) for row in self._connection.execute(sql, values)]

    def change(self, sql: str, values: Values = ()) -> int:
        """How many rows the statement has changed."""
        with self.transaction():
            return self._connection.execute(sql, values).rowcount
