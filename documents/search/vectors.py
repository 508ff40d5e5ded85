"""Vectors of chunks, in the store beside their words, and the chunks that are nearest to a question's.

All vectors of a store were made by one model with one checkpoint: others can't be compared. A chunk that is
added has none until someone makes it; one that is removed takes its vector along.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from documents.search.tables import EVIDENCE, VECTORS, VECTORS_STAMP, Neighbours, Tables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

CACHED_BYTES = 2**30
"""Most bytes of vectors that are held in memory, but for those of the store that is asked."""


class VectorSource(msgspec.Struct, frozen=True):
    """What vectors were made by; only those of the same can be compared."""

    model: str
    """By the name that the gateway knows."""
    checkpoint: str
    """Id of its weights; "" where nobody knows it, as of a provider's."""
    prefix: str
    """Put before each passage."""
    dimensions: int


@dataclass(frozen=True)
class QueryVector:
    """A question as a vector of length 1, and what it was made by, as far as a passage's would be."""

    vector: "Floats"
    source: VectorSource


@dataclass(frozen=True)
class Matrix:
    """All vectors of a store, each of length 1."""

    chunks: "NDArray[np.int64]"
    rows: "Floats"

    def nearest(
        self, vector: "Floats", limit: int, among: Collection[int] | None = None
    ) -> list[tuple[int, float]]:
        """Ids of chunks with their cosines, best first; `among` are those to look at, None is all."""
        import numpy as np

        chunks, cosines = self.chunks, self.rows @ vector
        if among is not None:
            kept = np.isin(chunks, np.fromiter(among, np.int64, len(among)))
            chunks, cosines = chunks[kept], cosines[kept]
        best = np.argpartition(-cosines, limit)[:limit] if limit < len(cosines) else np.arange(len(cosines))
        best = best[np.lexsort((chunks[best], -cosines[best]))]
        return [(int(chunks[at]), float(cosines[at])) for at in best]

    def holds(self, chunk: int) -> bool:
        """Whether this chunk has a vector."""
        import numpy as np

        at = int(np.searchsorted(self.chunks, chunk))
        return at < len(self.chunks) and int(self.chunks[at]) == chunk


class VectorCache:
    """Matrices of the stores that were asked last, for all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, tuple[str, Matrix]] = OrderedDict()

    def matrix(self, tables: Tables) -> Matrix:
        """All vectors that the transaction of `tables` sees; read only where they have changed."""
        name, stamp = tables.name, tables.fact(VECTORS_STAMP)
        with self._lock:
            held = self._held.get(name)
            if held is not None and held[0] == stamp:
                self._held.move_to_end(name)
                return held[1]
        matrix = _read(tables)
        with self._lock:
            self._held[name] = (stamp, matrix)
            self._held.move_to_end(name)
            while len(self._held) > 1 and sum(m.rows.nbytes for _, m in self._held.values()) > CACHED_BYTES:
                self._held.popitem(last=False)
        return matrix


@dataclass(frozen=True)
class InMemory:
    """Neighbours in a database that finds none."""

    tables: Tables
    matrix: Matrix

    def nearest(
        self, vector: "Floats", limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """Chunks with their cosines, best first."""
        among = None if sources is None else self.tables.chunks_of_sources(sources)
        return self.matrix.nearest(vector, limit, among)

    def holding(self, chunks: Sequence[int]) -> set[int]:
        """Those that have a vector."""
        return set(filter(self.matrix.holds, chunks))


def neighbours(tables: Tables, cache: VectorCache) -> Neighbours:
    """Those that the transaction of `tables` sees."""
    return tables.vectors.neighbours() or InMemory(tables, cache.matrix(tables))


class StoredVectors:
    """Those of an open store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def source(self) -> VectorSource | None:
        """The model that made them; None where there are none."""
        return made_by(self._tables)

    def begin(self, source: VectorSource) -> bool:
        """Drop those that something else has made; whether there was nothing of `source` yet."""
        with self._tables.writing():
            if made_by(self._tables) == source:
                return False
            self._tables.vectors.drop()
            self._tables.set_fact(VECTORS, msgspec.json.encode(source).decode())
            self._tables.forget_fact(EVIDENCE)
        return True

    def missing(self, most: int) -> list[tuple[int, str]]:
        """Chunks without a vector, and what is to be made into one: the headings and the text."""
        return self._tables.vectors.missing(most)

    def put(self, source: VectorSource, made: Sequence[tuple[int, str]], rows: "Floats") -> bool:
        """Keep a vector for each of what `missing` gave, but for chunks that have gone or changed since.
        False where the store takes vectors of another source by now."""
        with self._tables.writing():
            if made_by(self._tables) != source:
                return False
            self._tables.vectors.put(
                [
                    (chunk, row.astype("<f4").tobytes())
                    for (chunk, text), row in zip(made, rows, strict=True)
                    if self._tables.vectors.text_of(chunk) == text
                ]
            )
        return True

    def arrange(self) -> None:
        """Give the database what it takes to find neighbours by itself, where it can."""
        self._tables.vectors.arrange()

    def counts(self) -> tuple[int, int]:
        """Chunks with a vector, and all chunks."""
        return self._tables.vectors.counts()


def made_by(tables: Tables) -> VectorSource | None:
    """The model that made the vectors of a store; None where there are none."""
    told = tables.fact(VECTORS)
    return msgspec.json.decode(told, type=VectorSource) if told else None


def _read(tables: Tables) -> Matrix:
    import numpy as np

    rows = tables.vectors.all()
    chunks = np.fromiter((row[0] for row in rows), np.int64, len(rows))
    joined = np.frombuffer(b"".join(row[1] for row in rows), "<f4")
    return Matrix(chunks, joined.reshape(len(rows), -1 if rows else 0).astype(np.float32, copy=False))
