"""Which chunks fit a question, best first: BM25 over its terms, by SQLite's FTS5."""

import sqlite3
from collections.abc import Sequence

MOST_ROWS = 20_000
"""Occurrences that are scored, in sum over the terms of a question: its rarest terms decide, and the others
would only cost time in a large store."""


def best_chunks(connection: sqlite3.Connection, terms: Sequence[str], limit: int) -> list[tuple[int, float]]:
    """Ids of chunks with their scores (BM25, higher is better). Empty where no term is in the store."""
    chosen = _rarest(_frequencies(connection, terms))
    if not chosen:
        return []
    match = " OR ".join(f'"{term.replace(chr(34), chr(34) * 2)}"' for term in chosen)
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
