"""A store's vectors in the type of PostgreSQL's extension pgvector, which finds the nearest by itself.

They are copies: the table `vectors` holds the bytes on any server, and a store whose copies are not all there
is searched in memory. So nothing is lost where the extension comes, goes, or is not restored from a dump.

Search is exact. An HNSW index answers sooner and misses neighbours, how many depends on the model's vectors:
docs/documents.md has the figures.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from documents.postgres.database import SCHEMA, Session

if TYPE_CHECKING:
    from documents.search.vectors import Floats

COPIES_STAMP = "pgvector stamp"
"""The fact that says of which state of the vectors there are copies of all (see `tables.VECTORS_STAMP`)."""
AT_ONCE = 500
"""Vectors that are copied in one transaction."""
# Type and operators of the extension are named with its schema, which is not in the search path.
_EXTENSION = """
SELECT quote_ident(nspname) AS schema FROM pg_extension
JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector' AND has_schema_privilege(extnamespace, 'USAGE')
"""
_COLUMN = """
SELECT 1 FROM pg_attribute
WHERE attrelid = to_regclass('pgvectors') AND attname = 'embedding' AND NOT attisdropped
"""
# MAIN: vectors of up to 2,000 numbers stay in their row, where the scan finds them.
_TABLE = """
CREATE TABLE pgvectors (
    chunk BIGINT PRIMARY KEY REFERENCES vectors ON DELETE CASCADE, index_id BIGINT NOT NULL,
    embedding {schema}.vector NOT NULL
);
ALTER TABLE pgvectors ALTER COLUMN embedding SET STORAGE MAIN;
CREATE INDEX pgvectors_of_index ON pgvectors (index_id);
"""
# In a subquery, or a plan that is kept for all values would convert the question's for each row.
_NEAREST = """
SELECT chunk, embedding OPERATOR({schema}.<#>) (SELECT ?::float4[]::{schema}.vector) AS distance
FROM pgvectors {among} WHERE pgvectors.index_id = ? ORDER BY distance, chunk LIMIT ?
"""
_AMONG = """
JOIN chunks ON chunks.id = chunk
JOIN documents ON documents.id = document AND source = ANY(?::text[])
"""


@dataclass(frozen=True)
class Copies:
    """Those of the store `index_id`; there is an extension in `schema`, and the table."""

    session: Session
    index_id: int
    schema: str

    def put(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Of these chunks, in place of others."""
        import numpy as np

        self.session.change_many(
            f"INSERT INTO pgvectors VALUES (?, ?, ?::float4[]::{self.schema}.vector)"  # noqa: S608
            " ON CONFLICT (chunk) DO UPDATE SET embedding = excluded.embedding",
            [(chunk, self.index_id, np.frombuffer(vector, "<f4").tolist()) for chunk, vector in rows],
        )

    def missing(self) -> list[tuple[int, bytes]]:
        """Some vectors without a copy."""
        rows = self.session.rows(
            "SELECT chunk, vector FROM vectors WHERE index_id = ? AND NOT EXISTS"
            " (SELECT 1 FROM pgvectors WHERE pgvectors.chunk = vectors.chunk) LIMIT ?",
            [self.index_id, AT_ONCE],
        )
        return [(row["chunk"], row["vector"]) for row in rows]

    def nearest(
        self, vector: "Floats", limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """By inner product, which is the cosine of vectors of length 1, and 0 of one of zeros."""
        among, given = ("", []) if sources is None else (_AMONG, [list(sources)])
        rows = self.session.rows(
            _NEAREST.format(schema=self.schema, among=among),
            [vector.tolist(), *given, self.index_id, limit],
        )
        return [(row["chunk"], -row["distance"]) for row in rows]

    def holding(self, chunks: Sequence[int]) -> set[int]:
        """Those that have a vector."""
        rows = self.session.rows("SELECT chunk FROM pgvectors WHERE chunk = ANY(?::bigint[])", [list(chunks)])
        return {row["chunk"] for row in rows}


def schema_of_extension(session: Session) -> str | None:
    """Where pgvector's type is, quoted; None where this database does not have it for us."""
    row = session.row(_EXTENSION)
    return None if row is None else str(row["schema"])


def copies(session: Session, index_id: int) -> Copies | None:
    """None where the database has no table for them, or no extension any more."""
    if session.row(_COLUMN) is None:
        return None
    schema = schema_of_extension(session)
    return None if schema is None else Copies(session, index_id, schema)


def make_table(session: Session) -> bool:
    """The table for copies, where the extension has come; whether there is one."""
    schema = schema_of_extension(session)
    if schema is None:
        return False
    if session.row(_COLUMN) is None:
        with session.transaction():
            session.rows("SELECT pg_advisory_xact_lock(?)", [SCHEMA.lock])
            if session.row(_COLUMN) is None:  # else another process was first
                _begin_anew(session, schema)
    return True


def _begin_anew(session: Session, schema: str) -> None:
    """A table without its column is what an extension leaves that was dropped with CASCADE."""
    session.change("DROP TABLE IF EXISTS pgvectors")
    session.change("DELETE FROM facts WHERE name = ?", [COPIES_STAMP])
    for statement in _statements(_TABLE.format(schema=schema)):
        session.change(statement)


def _statements(script: str) -> Iterator[str]:
    return filter(str.strip, script.split(";\n"))
