"""A store: documents with their pages, chunks and index in one SQLite file.

Several processes may read and write one store: a document is added, replaced or removed as a whole, and who
searches meanwhile sees it before or after.
"""

import random
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from common.errors import UserError
from documents.chunks import Chunk, Span
from documents.document import Document, Line
from documents.search.evidence import Evidence
from documents.search.fusion import fused
from documents.search.matching import best_chunks, chunks_of_sources, relevance
from documents.search.schema import (
    EVIDENCE,
    LEAST_RELEVANCE,
    fact,
    forget_fact,
    indexed_by,
    mark_indexed,
    open_file,
    set_fact,
)
from documents.search.terms import terms_of, terms_version, with_headings
from documents.search.vectors import QueryVector, StoredVectors, VectorCache, made_by

_AT_ONCE = 500
"""Chunks whose terms are made together."""
LONGEST_QUESTION = 4000
"""Characters of a question that are looked at."""
FUSED = 50
"""How many of the best by words and by vectors are joined, where no more are asked for."""


@dataclass(frozen=True)
class StoredDocument:
    """A document in a store, without its text."""

    source: str
    """What names it in the store: the path of the file."""
    name: str
    format: str
    title: str
    sha256: str
    chunk_size: int
    hidden_characters: int
    added: str
    """UTC, to the second."""
    pages: int
    """0 where its format has none."""
    chunks: int
    characters: int
    problems: int
    """Pages without text that can be read."""


@dataclass(frozen=True)
class StoredPage:
    """A page as it was read."""

    number: int | None
    text: str
    lines: tuple[Line, ...]
    problem: str


@dataclass(frozen=True)
class Hit:
    """A chunk that fits a question."""

    score: float
    """BM25, where words alone were looked for, else the sum of reciprocal ranks. Higher is better; scores of
    different questions can't be compared."""
    relevance: float
    """0 to 1: how much of what could be found of the question is in the chunk, rare terms counting more.
    Comparable across the questions of one store."""
    source: str
    name: str
    title: str
    text: str
    headings: tuple[str, ...]
    spans: tuple[Span, ...]
    similarity: float | None = None
    """The cosine of its vector and the question's, -1 to 1; None where it is not among the nearest."""


class Store:
    """An open store; made by `open_store`."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self.vectors = StoredVectors(connection, self._transaction)

    def add(self, source: str, document: Document, chunks: Sequence[Chunk], chunk_size: int) -> None:
        """Put the document in, in place of the one with this source. Raises UserError (see `search`)."""
        terms = _joined_terms(chunks)
        with self._transaction() as connection:
            self._require_index()
            self._remove(source)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            row = (source, document.name, document.format, document.title, document.sha256, chunk_size)
            added = connection.execute(
                "INSERT INTO documents (source, name, format, title, sha256, chunk_size,"
                " hidden_characters, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, document.hidden_characters, now),
            ).lastrowid
            pages = [
                (added, place, page.number, page.text, _json(page.lines), page.problem)
                for place, page in enumerate(document.pages)
            ]
            connection.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?)", pages)
            for chunk, text in zip(chunks, terms, strict=True):
                row_id = connection.execute(
                    "INSERT INTO chunks (document, text, headings, spans) VALUES (?, ?, ?, ?)",
                    (added, chunk.text, _json(chunk.headings), _json(chunk.spans)),
                ).lastrowid
                connection.execute("INSERT INTO terms (rowid, text) VALUES (?, ?)", (row_id, text))

    def remove(self, source: str) -> bool:
        """Take the document out; whether it was there."""
        with self._transaction():
            return self._remove(source)

    def documents(self) -> list[StoredDocument]:
        """All of them, by source."""
        rows = self._connection.execute(
            "SELECT source, name, format, title, sha256, chunk_size, hidden_characters, added,"
            " (SELECT count(number) FROM pages WHERE document = documents.id),"
            " (SELECT count(*) FROM chunks WHERE document = documents.id),"
            " (SELECT coalesce(sum(length(text)), 0) FROM pages WHERE document = documents.id),"
            " (SELECT count(*) FROM pages WHERE document = documents.id AND problem != '')"
            " FROM documents ORDER BY source"
        )
        return [StoredDocument(*row) for row in rows]

    def pages(self, source: str) -> list[StoredPage]:
        """The pages of a document, in order; empty where there is none with this source."""
        rows = self._connection.execute(
            "SELECT number, pages.text, lines, problem FROM pages JOIN documents ON id = document"
            " WHERE source = ? ORDER BY place",
            (source,),
        )
        return [
            StoredPage(number, text, msgspec.json.decode(lines, type=tuple[Line, ...]), problem)
            for number, text, lines, problem in rows
        ]

    def search(self, question: str, limit: int = 10, sources: Collection[str] | None = None) -> list[Hit]:
        """The chunks that fit best, best first; empty where nothing of the question is in the store.

        `sources` are the documents to look in; None is all. Raises UserError where the index was made with
        other rules or by another Kiwi.
        """
        (terms,) = terms_of([question[:LONGEST_QUESTION]])
        with self._transaction("DEFERRED"):  # what is found is there until it is read
            self._require_index()
            found = best_chunks(self._connection, terms, limit, sources)
            shares = relevance(self._connection, terms, [chunk for chunk, _ in found])
            return [self._hit(chunk, score, shares[chunk]) for chunk, score in found]

    def search_by_both(
        self,
        question: str,
        near: QueryVector,
        cache: VectorCache,
        limit: int = 10,
        sources: Collection[str] | None = None,
    ) -> list[Hit] | None:
        """As `search`, by words and by vectors; None where the vectors are of another source than `near`."""
        (terms,) = terms_of([question[:LONGEST_QUESTION]])
        depth = max(limit, FUSED)
        with self._transaction("DEFERRED") as connection:
            self._require_index()
            if made_by(connection) != near.source:
                return None
            matrix = cache.matrix(self._name, connection)
            among = None if sources is None else chunks_of_sources(connection, sources)
            nearest = dict(matrix.nearest(near.vector, depth, among))
            by_words = [chunk for chunk, _ in best_chunks(connection, terms, depth, sources)]
            found = fused(by_words, [*nearest], matrix.holds)[:limit]
            shares = relevance(connection, terms, [chunk for chunk, _ in found])
            return [self._hit(chunk, score, shares[chunk], nearest.get(chunk)) for chunk, score in found]

    def count_chunks(self) -> int:
        """How many there are."""
        (count,) = self._connection.execute("SELECT count(*) FROM chunks").fetchone()
        return int(count)

    def sample_texts(self, most: int, chance: random.Random) -> list[str]:
        """The texts of some chunks, of all where there are no more."""
        ids = [row[0] for row in self._connection.execute("SELECT id FROM chunks ORDER BY id")]
        chosen = chance.sample(ids, min(most, len(ids)))
        query = "SELECT text FROM chunks WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        return [row[0] for row in self._connection.execute(query, (_json(chosen),))]

    def least_relevance(self) -> float:
        """Below it a passage probably does not answer (see `calibration`); 0 where that was not measured."""
        return float(fact(self._connection, LEAST_RELEVANCE) or 0)

    def remember_least_relevance(self, least: float) -> None:
        """Until it is measured again."""
        with self._transaction() as connection:
            set_fact(connection, LEAST_RELEVANCE, repr(least))

    def evidence(self) -> Evidence | None:
        """The same for words and vectors together; None where it was not measured."""
        told = fact(self._connection, EVIDENCE)
        return msgspec.json.decode(told, type=Evidence) if told else None

    def remember_evidence(self, evidence: Evidence | None) -> None:
        """Until it is measured again, or the vectors are made anew."""
        with self._transaction() as connection:
            if evidence is None:
                forget_fact(connection, EVIDENCE)
            else:
                set_fact(connection, EVIDENCE, _json(evidence))

    def rebuild(self) -> int:
        """Make the index anew from the chunks, which need no file; returns how many they are."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT id, text, headings FROM chunks ORDER BY id").fetchall()
            connection.execute("DELETE FROM terms")
            for first in range(0, len(rows), _AT_ONCE):
                block = rows[first : first + _AT_ONCE]
                texts = [with_headings(text, msgspec.json.decode(headings)) for _, text, headings in block]
                made = [(row[0], " ".join(terms)) for row, terms in zip(block, terms_of(texts), strict=True)]
                connection.executemany("INSERT INTO terms (rowid, text) VALUES (?, ?)", made)
            mark_indexed(connection)
        return len(rows)

    def renew(self) -> bool:
        """`rebuild` an index of other rules than these; whether it was one."""
        if indexed_by(self._connection) == terms_version():
            return False
        self.rebuild()
        return True

    def _hit(self, chunk: int, score: float, share: float, similarity: float | None = None) -> Hit:
        source, name, title, text, headings, spans = self._connection.execute(
            "SELECT source, name, title, text, headings, spans FROM chunks"
            " JOIN documents ON documents.id = document WHERE chunks.id = ?",
            (chunk,),
        ).fetchone()
        above = msgspec.json.decode(headings, type=tuple[str, ...])
        places = msgspec.json.decode(spans, type=tuple[Span, ...])
        return Hit(score, share, source, name, title, text, above, places, similarity)

    def _require_index(self) -> None:
        if (made_by := indexed_by(self._connection)) != terms_version():
            raise UserError(
                f"The index of the store {self._name!r} was made by {made_by}; this is {terms_version()}.",
                hint=f"Run `kodolly documents rebuild --store {self._name}`.",
            )

    def _remove(self, source: str) -> bool:
        of_source = (
            "(SELECT chunks.id FROM chunks JOIN documents ON documents.id = document WHERE source = ?)"
        )
        self._connection.execute(f"DELETE FROM terms WHERE rowid IN {of_source}", (source,))  # noqa: S608
        return self._connection.execute("DELETE FROM documents WHERE source = ?", (source,)).rowcount > 0

    @contextmanager
    def _transaction(
        self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
    ) -> Iterator[sqlite3.Connection]:
        """All that is done in it, or nothing. Raises UserError, e.g. for a full disk or a locked store."""
        try:
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise UserError(f"The store {self._name!r} cannot be used: {error}.") from error


@contextmanager
def open_store(path: Path, *, create: bool = False) -> Iterator[Store]:
    """The store in this file, until the block ends. Raises UserError."""
    connection = open_file(path, create=create)
    try:
        yield Store(connection, path.stem)
    finally:
        connection.close()


def _joined_terms(chunks: Sequence[Chunk]) -> list[str]:
    texts = [with_headings(chunk.text, chunk.headings) for chunk in chunks]
    return [" ".join(terms) for terms in terms_of(texts)]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
