"""Which chunks fit a question, best first, in SQLite.

FTS5 looks for the rarest terms alone where all of them would take too long; the best of what it finds are
then scored by all terms.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence

from documents.search import bm25

CANDIDATES = 50
"""Chunks that are scored by all terms where FTS5 looked for some."""
_OF_SOURCES = (
    "SELECT chunks.id FROM chunks JOIN documents ON documents.id = document"
    " WHERE source IN (SELECT value FROM json_each(?))"
)
_AMONG_SOURCES = f"AND rowid IN ({_OF_SOURCES})"


def best_chunks(
    connection: sqlite3.Connection,
    terms: Sequence[str],
    limit: int,
    sources: Collection[str] | None = None,
) -> list[tuple[int, float]]:
    """Ids of chunks with their scores (BM25, higher is better). Empty where no term is in the store.
    `sources` are those of the documents to look in; None is all."""
    frequencies = _frequencies(connection, terms)
    chosen = bm25.rarest(frequencies)
    if not chosen:
        return []
    if len(chosen) == len(frequencies):
        return _found(connection, chosen, limit, sources)
    candidates = [chunk for chunk, _ in _found(connection, chosen, max(limit, CANDIDATES), sources)]
    return _scored(connection, candidates, frequencies)[:limit]


def relevance(
    connection: sqlite3.Connection, terms: Sequence[str], chunks: Sequence[int]
) -> dict[int, float]:
    """Of each chunk, which share of the question's weight it holds, 0 to 1."""
    texts = _texts(connection, chunks)
    return bm25.shares(terms, _frequencies(connection, terms), _total(connection), texts)


def chunks_of_sources(connection: sqlite3.Connection, sources: Collection[str]) -> set[int]:
    """Ids of all chunks of the documents with these sources."""
    given = json.dumps(list(sources), ensure_ascii=False)
    return {int(row[0]) for row in connection.execute(_OF_SOURCES, (given,))}


def _found(
    connection: sqlite3.Connection,
    terms: Sequence[str],
    limit: int,
    sources: Collection[str] | None,
) -> list[tuple[int, float]]:
    match = " OR ".join(f'"{term.replace(chr(34), chr(34) * 2)}"' for term in terms)
    among = "" if sources is None else _AMONG_SOURCES
    given = () if sources is None else (json.dumps(list(sources), ensure_ascii=False),)
    found = connection.execute(
        f"SELECT rowid, -bm25(terms) FROM terms WHERE terms MATCH ? {among}"  # noqa: S608
        " ORDER BY bm25(terms), rowid LIMIT ?",
        (match, *given, limit),
    )
    return [(int(chunk), float(score)) for chunk, score in found]


def _frequencies(connection: sqlite3.Connection, terms: Sequence[str]) -> dict[str, int]:
    """In how many chunks each term is, of those that are in any."""
    made = {}
    for term in dict.fromkeys(terms):
        row = connection.execute("SELECT doc FROM temp.vocabulary WHERE term = ?", (term,)).fetchone()
        if row:
            made[term] = int(row[0])
    return made


def _total(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])


def _texts(connection: sqlite3.Connection, chunks: Sequence[int]) -> dict[int, list[str]]:
    """The terms of each chunk, in order."""
    rows = connection.execute(
        "SELECT rowid, text FROM terms WHERE rowid IN (SELECT value FROM json_each(?))", (json.dumps(chunks),)
    )
    return {int(chunk): text.split(" ") for chunk, text in rows}


def _scored(
    connection: sqlite3.Connection, chunks: Sequence[int], frequencies: dict[str, int]
) -> list[tuple[int, float]]:
    """BM25 by all terms, best first. The mean length is that of these chunks, not of all in the store."""
    texts = _texts(connection, chunks)
    if not texts:
        return []
    mean = sum(map(len, texts.values())) / len(texts)
    counted = {
        chunk: bm25.TermCounts(Counter(filter(frequencies.__contains__, text)), len(text))
        for chunk, text in texts.items()
    }
    return bm25.scored(counted, bm25.weights(frequencies, _total(connection)), mean)
