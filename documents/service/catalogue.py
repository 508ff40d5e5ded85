"""The catalogue of the service: which files, vector stores, attachments and batches there are, and whose.

Its statements are those that SQLite and PostgreSQL both know; `?` marks a value. Times are Unix seconds.
Lists are ordered by `place`, which only grows.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

Row = dict[str, Any]
Values = Sequence[str | int | bytes | None]


class Catalogue(ABC):
    """An open catalogue, for all threads of a process; `close` it."""

    @abstractmethod
    def close(self) -> None:
        """Nothing may be asked afterwards."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All that is done in it, or nothing; nobody else changes the catalogue meanwhile. One within another
        is part of it."""

    @abstractmethod
    def alone(self, work: str) -> AbstractContextManager[bool]:
        """Whether this process does this work until the block ends, and no other process that shares the
        catalogue; one that dies leaves it to others."""

    @abstractmethod
    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """What a SELECT finds."""

    @abstractmethod
    def change(self, sql: str, values: Values = ()) -> int:
        """How many rows the statement has changed."""

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """The first of `rows`; None when there is none."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def insert(self, table: str, row: Row) -> None:
        """Add a row."""
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self.change(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608
