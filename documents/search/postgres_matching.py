"""Which chunks fit a question, best first, in PostgreSQL.

`ts_rank` knows nothing of how rare a term is. So the rarest terms find candidates through the index, weighed
as if a chunk had each of them once, and the best of these are scored by BM25 over all terms. A lexeme of a
chunk's `tsvector` is the id of its store and the term, so that the index holds each store apart; it stands at
as many places as the chunk has the term.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from documents.postgres.database import Session
from documents.search import bm25

CANDIDATES = 100
"""Chunks that are scored by all terms."""
MOST_PLACES = 255
"""Most places of a lexeme in a tsvector (https://www.postgresql.org/docs/current/textsearch-limitations.html)."""
LONGEST_TERM = 1000
"""In bytes; a longer one is found by its hash."""
_ASKED = f"""
SELECT c.id FROM unnest(?::text[], ?::float8[]) AS asked (lexeme, weight)
JOIN chunks c ON c.terms @@ asked.lexeme::tsquery {{among}}
GROUP BY c.id, c.length
ORDER BY sum(asked.weight) / (1 + {bm25.K1} * ({1 - bm25.B} + {bm25.B} * c.length / ?::float8)) DESC, c.id
LIMIT ?
"""  # noqa: S608
_AMONG = (
    "JOIN documents ON documents.id = c.document AND documents.index_id = {index_id}"
    " AND source = ANY(?::text[])"
)


class Matching:
    """Of one store's chunks."""

    def __init__(self, session: Session, index_id: int) -> None:
        self._session, self._index_id = session, index_id

    def tsvector(self, terms: Sequence[str]) -> str:
        """The terms of a chunk, as PostgreSQL reads them."""
        counted = Counter(terms)
        return " ".join(f"{_quoted(self._lexeme(term))}:{_places(count)}" for term, count in counted.items())

    def best_chunks(
        self, terms: Sequence[str], limit: int, sources: Collection[str] | None
    ) -> list[tuple[int, float]]:
        """Ids of chunks with their scores (BM25, higher is better)."""
        total, mean = self._size()
        frequencies = self._frequencies(terms)
        if not total or not frequencies:
            return []
        weight = bm25.weights(frequencies, total)
        chosen = bm25.rarest(frequencies)
        among = "" if sources is None else _AMONG.format(index_id=self._index_id)
        given = [] if sources is None else [list(sources)]
        rows = self._session.rows(
            _ASKED.format(among=among),
            [[*map(_quoted, chosen)], [weight[one] for one in chosen], *given, mean, max(limit, CANDIDATES)],
        )
        counts = self._counts([row["id"] for row in rows], [*frequencies])
        return bm25.scored(counts, weight, mean)[:limit]

    def relevance(self, terms: Sequence[str], chunks: Sequence[int]) -> dict[int, float]:
        """Of each chunk, which share of the question's weight it holds, 0 to 1."""
        lexemes = [*map(self._lexeme, terms)]
        total, _ = self._size()
        counts = self._counts(chunks, lexemes)
        has = {chunk: one.counts for chunk, one in counts.items()}
        return bm25.shares(lexemes, self._frequencies(terms), total, has)

    def _size(self) -> tuple[int, float]:
        """How many chunks there are, and their mean length in terms."""
        row = self._session.row("SELECT chunks, terms FROM indexes WHERE id = ?", [self._index_id])
        if row is None or not row["chunks"]:
            return 0, 1.0
        return row["chunks"], max(1.0, row["terms"] / row["chunks"])

    def _frequencies(self, terms: Sequence[str]) -> dict[str, int]:
        """Lexemes, each with how many chunks have it, of those that any has."""
        rows = self._session.rows(
            "SELECT term, chunks FROM frequencies WHERE index_id = ? AND term = ANY(?::text[])",
            [self._index_id, [*dict.fromkeys(map(self._lexeme, terms))]],
        )
        return {row["term"]: row["chunks"] for row in rows}

    def _counts(self, chunks: Sequence[int], lexemes: Sequence[str]) -> dict[int, bm25.TermCounts]:
        rows = self._session.rows(
            "SELECT c.id, c.length, array_agg(t.lexeme) AS lexemes,"
            " array_agg(cardinality(t.positions)) AS counts"
            " FROM chunks c LEFT JOIN LATERAL"
            " (SELECT * FROM unnest(c.terms) JOIN unnest(?::text[]) AS asked (term) ON lexeme = term) t"
            " ON true"
            " WHERE c.id = ANY(?::bigint[]) GROUP BY c.id, c.length",
            [[*dict.fromkeys(lexemes)], list(chunks)],
        )
        return {row["id"]: bm25.TermCounts(_pairs(row), row["length"]) for row in rows}

    def _lexeme(self, term: str) -> str:
        encoded = term.encode()
        if len(encoded) > LONGEST_TERM:
            term = f"#{hashlib.sha256(encoded).hexdigest()}"
        return f"{self._index_id}:{term}"


@functools.cache
def _places(count: int) -> str:
    """As many places of a lexeme as a chunk has it."""
    return ",".join(map(str, range(1, min(count, MOST_PLACES) + 1)))


def _quoted(lexeme: str) -> str:
    """A lexeme in a tsvector's or tsquery's text
    (https://www.postgresql.org/docs/current/datatype-textsearch.html)."""
    inner = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{inner}'"


def _pairs(row: Any) -> dict[str, int]:
    """Of a chunk that has none of the lexemes, the row holds None."""
    pairs = zip(row["lexemes"], row["counts"], strict=True)
    return {lexeme: count for lexeme, count in pairs if lexeme is not None}
