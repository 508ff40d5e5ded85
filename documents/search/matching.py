"""Which chunks fit a question, best first: BM25 over its terms.

SQLite's FTS5 looks for the rarest terms alone where all of them would take too long; the best of what it
finds are then scored by all terms. Formula: https://sqlite.org/fts5.html#the_bm25_function.
"""

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Sequence

MOST_ROWS = 5_000
"""Rows that FTS5 scores, in sum over the terms of a question; about a microsecond each."""
CANDIDATES = 50
"""Chunks that are scored by all terms where FTS5 looked for some."""
_K1, _B = 1.2, 0.75
_LEAST_WEIGHT = 1e-6
"""Of a term that is in more than half of the chunks, as in FTS5."""


def best_chunks(connection: sqlite3.Connection, terms: Sequence[str], limit: int) -> list[tuple[int, float]]:
    """Ids of chunks with their scores (BM25, higher is better). Empty where no term is in the store."""
    frequencies = _frequencies(connection, terms)
    chosen = _rarest(frequencies)
    if not chosen:
        return []
    if len(chosen) == len(frequencies):
        return _found(connection, chosen, limit)
    candidates = [chunk for chunk, _ in _found(connection, chosen, max(limit, CANDIDATES))]
    return _scored(connection, candidates, frequencies)[:limit]


def _found(connection: sqlite3.Connection, terms: Sequence[str], limit: int) -> list[tuple[int, float]]:
    match = " OR ".join(f'"{term.replace(chr(34), chr(34) * 2)}"' for term in terms)
    found = connection.execute(
        "SELECT rowid, -bm25(terms) FROM terms WHERE terms MATCH ? ORDER BY bm25(terms), rowid LIMIT ?",
        (match, limit),
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
