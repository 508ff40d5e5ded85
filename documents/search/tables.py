"""The tables of a store, whatever database holds them: SQLite's file, or a part of a PostgreSQL database.

Ids are those of chunks. What changes something is called in a transaction of `writing`.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from documents.chunks import Chunk
from documents.search.stored import NewDocument, StoredDocument, StoredPage, StoredPassage

if TYPE_CHECKING:
    from documents.search.vectors import Floats

FORMAT = "1"
LEAST_RELEVANCE = "least relevance"
"""The name of a fact about the store, like the next ones."""
EVIDENCE = "evidence"
TERMS = "terms"
"""The version of the terms that the index holds."""
VECTORS = "vectors"
VECTORS_STAMP = "vectors stamp"
"""Another random one after each change of the vectors."""


class Neighbours(Protocol):
    """Answers about the vectors of a store."""

    def nearest(
        self, vector: "Floats", limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """Chunks with their cosines, best first. `sources` are those of the documents to look in; None is
        all."""

    def holding(self, chunks: Sequence[int]) -> Collection[int]:
        """Those that have a vector."""


class VectorTables(Protocol):
    """The vectors of chunks, as bytes."""

    def all(self) -> list[tuple[int, bytes]]:
        """Those of all chunks that have one, by id."""

    def drop(self) -> None:
        """Remove them all."""

    def put(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Chunks with their vectors, in place of others."""

    def missing(self, most: int) -> list[tuple[int, str]]:
        """Chunks without a vector, with what they are found by."""

    def text_of(self, chunk: int) -> str | None:
        """What this chunk is found by; None where it has gone."""

    def counts(self) -> tuple[int, int]:
        """Chunks with a vector, and all chunks."""

    def neighbours(self) -> "Neighbours | None":
        """What the database finds by itself; None where vectors are compared in memory."""

    def arrange(self) -> None:
        """Whatever `neighbours` takes and the database can do; no transaction is open."""


class Tables(Protocol):
    """All of them."""

    @property
    def name(self) -> str:
        """The store's."""

    @property
    def vectors(self) -> VectorTables:
        """Those of its chunks."""

    def writing(self) -> AbstractContextManager[None]:
        """All that is done in it, or nothing; nobody else writes to the store meanwhile. Raises UserError or
        StoreFailed for what the database reports."""

    def reading(self) -> AbstractContextManager[None]:
        """What is found in it is there until its end. Raises as `writing`."""

    def fact(self, name: str) -> str:
        """What the store says of itself under this name; "" where it says nothing."""

    def set_fact(self, name: str, value: str) -> None:
        """In place of what it said under this name."""

    def forget_fact(self, name: str) -> None:
        """It says nothing under this name any more."""

    def add(self, new: NewDocument) -> None:
        """Put a document in; none has its source."""

    def remove(self, source: str) -> bool:
        """Take the document out; whether it was there."""

    def documents(self) -> list[StoredDocument]:
        """All of them, by source."""

    def pages(self, source: str) -> list[StoredPage]:
        """The pages of a document, in order."""

    def chunks(self, source: str) -> list[Chunk]:
        """The chunks of a document, in order."""

    def count_chunks(self) -> int:
        """How many there are."""

    def sample_texts(self, most: int, chance: random.Random) -> list[str]:
        """The texts of some chunks, of all where there are no more."""

    def texts(self) -> list[tuple[int, str]]:
        """All chunks, with what they are found by."""

    def replace_terms(self, made: Iterable[tuple[int, list[str]]]) -> None:
        """The terms of all chunks, in place of others."""

    def best_chunks(
        self, terms: Sequence[str], limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """Those that fit best with their scores (BM25, higher is better), best first. `sources` are those of
        the documents to look in; None is all."""

    def relevance(self, terms: Sequence[str], chunks: Sequence[int]) -> dict[int, float]:
        """Of each chunk, which share of the question's weight it holds, 0 to 1."""

    def chunks_of_sources(self, sources: Collection[str]) -> set[int]:
        """All chunks of the documents with these sources."""

    def passages(self, chunks: Sequence[int]) -> dict[int, StoredPassage]:
        """These chunks, all of which are there."""
