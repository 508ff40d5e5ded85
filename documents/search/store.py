"""A store: documents with their pages, chunks and index.

Several processes may read and write one store: a document is added, replaced or removed as a whole, and who
searches meanwhile sees it before or after.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from common.errors import UserError
from documents.chunks import Chunk, Span
from documents.document import Document, Page
from documents.search.evidence import Evidence
from documents.search.fusion import fused
from documents.search.schema import open_file
from documents.search.sqlite_tables import SqliteTables
from documents.search.stored import IndexedChunk, NewDocument, StoredDocument, StoredPage
from documents.search.tables import EVIDENCE, LEAST_RELEVANCE, TERMS, Tables
from documents.search.terms import terms_of, terms_version, with_headings
from documents.search.vectors import QueryVector, StoredVectors, VectorCache, made_by, neighbours

_AT_ONCE = 500
"""Chunks whose terms are made together."""
LONGEST_QUESTION = 4000
"""Characters of a question that are looked at."""
FUSED = 50
"""How many of the best by words and by vectors are joined, where no more are asked for."""


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
    problem: str = ""
    """Why the text of the page where it begins is doubtful, as that it was recognised in a picture."""


class Store:
    """An open store; made by `open_store`, or out of the tables that hold it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.vectors = StoredVectors(tables)

    def add(self, source: str, document: Document, chunks: Sequence[Chunk], chunk_size: int) -> None:
        """Put the document in, in place of the one with this source. Raises UserError (see `search`)."""
        texts = [with_headings(chunk.text, chunk.headings) for chunk in chunks]
        indexed = tuple(map(IndexedChunk, chunks, terms_of(texts)))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._tables.writing():
            self._require_index()
            self._tables.remove(source)
            self._tables.add(NewDocument(source, document, chunk_size, now, indexed))

    def remove(self, source: str) -> bool:
        """Take the document out; whether it was there."""
        with self._tables.writing():
            return self._tables.remove(source)

    def documents(self) -> list[StoredDocument]:
        """All of them, by source."""
        return self._tables.documents()

    def pages(self, source: str) -> list[StoredPage]:
        """The pages of a document, in order; empty where there is none with this source."""
        return self._tables.pages(source)

    def copy_to(self, other: "Store") -> None:
        """Put all documents into another store, which makes an index of its own; vectors stay behind."""
        for kept in self.documents():
            pages = [
                Page(page.number, page.text, (), page.lines, problem=page.problem)
                for page in self.pages(kept.source)
            ]
            if pages:
                pages[0] = replace(pages[0], hidden_characters=kept.hidden_characters)
            document = Document(kept.name, kept.format, kept.sha256, kept.title, tuple(pages))
            other.add(kept.source, document, self._tables.chunks(kept.source), kept.chunk_size)
        other.remember_least_relevance(self.least_relevance())

    def search(self, question: str, limit: int = 10, sources: Collection[str] | None = None) -> list[Hit]:
        """The chunks that fit best, best first; empty where nothing of the question is in the store.

        `sources` are the documents to look in; None is all. Raises UserError where the index was made with
        other rules or by another MeCab.
        """
        (terms,) = terms_of([question[:LONGEST_QUESTION]])
        with self._tables.reading():
            self._require_index()
            found = self._tables.best_chunks(terms, limit, sources)
            shares = self._tables.relevance(terms, [chunk for chunk, _ in found])
            return self._hits(found, shares, {})

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
        tables = self._tables
        with tables.reading():
            self._require_index()
            if made_by(tables) != near.source:
                return None
            near_by = neighbours(tables, cache)
            nearest = dict(near_by.nearest(near.vector, depth, sources))
            by_words = [chunk for chunk, _ in tables.best_chunks(terms, depth, sources)]
            holding = near_by.holding(by_words)
            found = fused(by_words, [*nearest], holding.__contains__)[:limit]
            shares = tables.relevance(terms, [chunk for chunk, _ in found])
            return self._hits(found, shares, nearest)

    def count_chunks(self) -> int:
        """How many there are."""
        return self._tables.count_chunks()

    def sample_texts(self, most: int, chance: random.Random) -> list[str]:
        """The texts of some chunks, of all where there are no more."""
        return self._tables.sample_texts(most, chance)

    def least_relevance(self) -> float:
        """Below it a passage probably does not answer (see `calibration`); 0 where that was not measured."""
        return float(self._tables.fact(LEAST_RELEVANCE) or 0)

    def remember_least_relevance(self, least: float) -> None:
        """Until it is measured again."""
        with self._tables.writing():
            self._tables.set_fact(LEAST_RELEVANCE, repr(least))

    def evidence(self) -> Evidence | None:
        """The same for words and vectors together; None where it was not measured."""
        told = self._tables.fact(EVIDENCE)
        return msgspec.json.decode(told, type=Evidence) if told else None

    def remember_evidence(self, evidence: Evidence | None) -> None:
        """Until it is measured again, or the vectors are made anew."""
        with self._tables.writing():
            if evidence is None:
                self._tables.forget_fact(EVIDENCE)
            else:
                self._tables.set_fact(EVIDENCE, msgspec.json.encode(evidence).decode())

    def rebuild(self) -> int:
        """Make the index anew from the chunks, which need no file; returns how many they are."""
        with self._tables.writing():
            return self._rebuilt()

    def renew(self) -> bool:
        """`rebuild` an index of other rules than these; whether it was one."""
        if self._tables.fact(TERMS) == terms_version():
            return False
        with self._tables.writing():
            if self._tables.fact(TERMS) == terms_version():  # another process was first
                return False
            self._rebuilt()
        return True

    def _rebuilt(self) -> int:
        texts = self._tables.texts()
        self._tables.replace_terms(_made_terms(texts))
        self._tables.set_fact(TERMS, terms_version())
        return len(texts)

    def _hits(
        self, found: Sequence[tuple[int, float]], shares: Mapping[int, float], similar: Mapping[int, float]
    ) -> list[Hit]:
        passages = self._tables.passages([chunk for chunk, _ in found])
        return [
            Hit(
                *(score, shares[chunk], of.source, of.name, of.title, of.text, of.headings, of.spans),
                similarity=similar.get(chunk),
                problem=of.problem,
            )
            for chunk, score in found
            for of in (passages[chunk],)
        ]

    def _require_index(self) -> None:
        if (made := self._tables.fact(TERMS)) != terms_version():
            name = self._tables.name
            raise UserError(
                f"The index of the store {name!r} was made by {made}; this is {terms_version()}.",
                hint=f"Run `kodolly documents rebuild --store {name}`.",
            )


@contextmanager
def open_store(path: Path, *, create: bool = False) -> Iterator[Store]:
    """The store in this file, until the block ends. Raises UserError."""
    connection = open_file(path, create=create)
    try:
        yield Store(SqliteTables(connection, path.stem))
    finally:
        connection.close()


def _made_terms(texts: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for first in range(0, len(texts), _AT_ONCE):
        block = texts[first : first + _AT_ONCE]
        terms = terms_of([text for _, text in block])
        yield from zip([chunk for chunk, _ in block], terms, strict=True)
