"""Which chunks fit a question, best first: BM25 over its terms.

SQLite's FTS5 looks for the rarest terms alone where all of them would take too long; the best of what it
finds are then scored by all terms. Formula: https://sqlite.org/fts5.html#the_bm25_function.
"""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Collection, Sequence

MOST_ROWS = 5_000
"""Most rows that FTS5 may score for all terms of a question together; each takes about a microsecond."""
CANDIDATES = 50
"""Chunks that are scored by all terms where FTS5 looked for some."""
_OF_SOURCES = (
    "SELECT chunks.id FROM chunks JOIN documents ON documents.id = document"
    " WHERE source IN (SELECT value FROM json_each(?))"
)
_AMONG_SOURCES = f"AND rowid IN ({_OF_SOURCES})"
_K1, _B = 1.2, 0.75
_LEAST_WEIGHT = 1e-6
"""The weight of a term that is in more than half of the chunks, as in FTS5."""


def best_chunks(
    connection: sqlite3.Connection,
    terms: Sequence[str],
    limit: int,
    sources: Collection[str] | None = None,
) -> list[tuple[int, float]]:
    """Ids of chunks with their scores (BM25, higher is better). Empty where no term is in the store.
    `sources` are those of the documents to look in; None is all."""
    frequencies = _frequencies(connection, terms)
    chosen = _rarest(frequencies)
    if not chosen:
        return []
    if len(chosen) == len(frequencies):
        return _found(connection, chosen, limit, sources)
    candidates = [chunk for chunk, _ in _found(connection, chosen, max(limit, CANDIDATES), sources)]
    return _scored(connection, candidates, frequencies)[:limit]


def relevance(
    connection: sqlite3.Connection, terms: Sequence[str], chunks: Sequence[int]
) -> dict[int, float]:
    """Of each chunk, which share of the question's weight it holds, 0 to 1. A term weighs the more the fewer
    chunks have it (Lucene's never negative form of BM25's weight, log(1 + (N - n + 0.5) / (n + 0.5)))."""
    frequencies = _frequencies(connection, terms)
    (total,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    weights = {}
    for term in dict.fromkeys(terms):
        count = frequencies.get(term, 0)
        weights[term] = math.log(1 + (total - count + 0.5) / (count + 0.5))
    whole = sum(weights.values()) or 1.0
    rows = connection.execute(
        "SELECT rowid, text FROM terms WHERE rowid IN (SELECT value FROM json_each(?))", (json.dumps(chunks),)
    )
    return {
        int(chunk): sum(map(weights.__getitem__, weights.keys() & text.split(" "))) / whole
        for chunk, text in rows
    }


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


def _rarest(frequencies: dict[str, int]) -> list[str]:
    """The rarest first, as many as `MOST_ROWS` allows, but one at least."""
    chosen: list[str] = []
    rows = 0
    for term in sorted(frequencies, key=lambda term: (frequencies[term], term)):
        rows += frequencies[term]
        if chosen and rows > MOST_ROWS:
            break
        chosen.append(term)
    return chosen


def _scored(
    connection: sqlite3.Connection, chunks: Sequence[int], frequencies: dict[str, int]
) -> list[tuple[int, float]]:
    """BM25 by all terms, best first. The mean length is that of these chunks, not of all in the store."""
    (total,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    weights = {
        term: max(math.log((total - count + 0.5) / (count + 0.5)), _LEAST_WEIGHT)
        for term, count in frequencies.items()
    }
    rows = connection.execute(
        "SELECT rowid, text FROM terms WHERE rowid IN (SELECT value FROM json_each(?))", (json.dumps(chunks),)
    )
    texts = {int(chunk): text.split(" ") for chunk, text in rows}
    mean = sum(map(len, texts.values())) / len(texts)
    made = []
    for chunk, text in texts.items():
        count = Counter(filter(weights.__contains__, text))
        norm = _K1 * (1 - _B + _B * len(text) / mean)
        score = sum(w * count[term] * (_K1 + 1) / (count[term] + norm) for term, w in weights.items())
        made.append((chunk, score))
    return sorted(made, key=lambda pair: (-pair[1], pair[0]))
