"""The vectors of a store in PostgreSQL: as bytes on any server, and as pgvector's where it has that."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from documents.postgres.database import Session
from documents.search.pgvector import COPIES_STAMP, Copies, copies, make_table
from documents.search.stored_json import found_by
from documents.search.tables import VECTORS_STAMP

if TYPE_CHECKING:
    from documents.search.postgres_tables import PostgresTables


class PostgresVectors:
    """Those of the index `index_id`, as `session` sees them."""

    def __init__(self, tables: "PostgresTables", session: Session, index_id: int) -> None:
        self._tables, self._session, self._id = tables, session, index_id

    def all(self) -> list[tuple[int, bytes]]:
        """By id."""
        rows = self._session.rows(
            "SELECT chunk, vector FROM vectors WHERE index_id = ? ORDER BY chunk", [self._id]
        )
        return [(row["chunk"], row["vector"]) for row in rows]

    def drop(self) -> None:
        """All of them."""
        self._session.change("DELETE FROM vectors WHERE index_id = ?", [self._id])
        self.stamp()

    def put(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """In place of others."""
        self._session.change_many(
            "INSERT INTO vectors VALUES (?, ?, ?) ON CONFLICT (chunk) DO UPDATE SET vector = excluded.vector",
            [(chunk, self._id, vector) for chunk, vector in rows],
        )
        whole = self.neighbours()
        if whole is not None:
            whole.put(rows)
        self.stamp()

    def stamp(self) -> None:
        """They have changed, and the copies with them where all were there."""
        stamp, whole = secrets.token_hex(8), self.neighbours()
        self._tables.set_fact(VECTORS_STAMP, stamp)
        if whole is not None:
            self._tables.set_fact(COPIES_STAMP, stamp)

    def missing(self, most: int) -> list[tuple[int, str]]:
        """Chunks without one."""
        rows = self._session.rows(
            "SELECT id, text, headings FROM chunks WHERE index_id = ? AND NOT EXISTS"
            " (SELECT 1 FROM vectors WHERE chunk = chunks.id) ORDER BY id LIMIT ?",
            [self._id, most],
        )
        return [(chunk, found_by(text, headings)) for chunk, text, headings in rows]

    def text_of(self, chunk: int) -> str | None:
        """None where it has gone."""
        row = self._session.row(
            "SELECT text, headings FROM chunks WHERE index_id = ? AND id = ?", [self._id, chunk]
        )
        return None if row is None else found_by(*row)

    def counts(self) -> tuple[int, int]:
        """Chunks with a vector, and all chunks."""
        row = self._session.row("SELECT count(*) AS made FROM vectors WHERE index_id = ?", [self._id])
        return int(row["made"]), self._tables.count_chunks()

    def neighbours(self) -> Copies | None:
        """pgvector's, where it has a copy of each vector."""
        if self._tables.fact(COPIES_STAMP) != self._tables.fact(VECTORS_STAMP):
            return None
        return copies(self._session, self._id)

    def arrange(self) -> None:
        """Copy what pgvector lacks, some at a time: others may write meanwhile."""
        if not make_table(self._session):
            return
        while self.neighbours() is None:
            with self._tables.writing():
                made = copies(self._session, self._id)
                if made is None:  # the extension has gone again
                    return
                rows = made.missing()
                made.put(rows)
                if not rows:
                    self._tables.set_fact(COPIES_STAMP, self._tables.fact(VECTORS_STAMP))
