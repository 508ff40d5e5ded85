"""BM25, and the weight of terms (https://sqlite.org/fts5.html#the_bm25_function)."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

K1, B = 1.2, 0.75
LEAST_WEIGHT = 1e-6
"""The weight of a term that is in more than half of the chunks, as in FTS5."""
MOST_ROWS = 5_000
"""Most rows that a database may score for all terms of a question together."""


@dataclass(frozen=True)
class TermCounts:
    """How often a chunk has each of the terms that are asked, of those that it has."""

    counts: Mapping[str, int]
    length: int
    """Of the chunk, in terms."""


def weights(frequencies: Mapping[str, int], total: int) -> dict[str, float]:
    """Of each term that so many of all chunks have."""
    return {
        term: max(math.log((total - count + 0.5) / (count + 0.5)), LEAST_WEIGHT)
        for term, count in frequencies.items()
    }


def scored(
    chunks: Mapping[int, TermCounts], weight: Mapping[str, float], mean_length: float
) -> list[tuple[int, float]]:
    """Chunks with their scores, best first."""
    made = []
    for chunk, has in chunks.items():
        norm = K1 * (1 - B + B * has.length / mean_length)
        score = sum(weight[term] * count * (K1 + 1) / (count + norm) for term, count in has.counts.items())
        made.append((chunk, score))
    return sorted(made, key=lambda pair: (-pair[1], pair[0]))


def rarest(frequencies: Mapping[str, int]) -> list[str]:
    """The rarest terms first, as many as `MOST_ROWS` allows, but one at least."""
    chosen: list[str] = []
    rows = 0
    for term in sorted(frequencies, key=lambda term: (frequencies[term], term)):
        rows += frequencies[term]
        if chosen and rows > MOST_ROWS:
            break
        chosen.append(term)
    return chosen


def shares(
    terms: Sequence[str],
    frequencies: Mapping[str, int],
    total: int,
    chunks: Mapping[int, Collection[str]],
) -> dict[int, float]:
    """Of each chunk, which holds these terms, the share of the question's weight, 0 to 1. A term weighs the
    more the fewer chunks have it (Lucene's never negative form, log(1 + (N - n + 0.5) / (n + 0.5)))."""
    weight = {}
    for term in dict.fromkeys(terms):
        count = frequencies.get(term, 0)
        weight[term] = math.log(1 + (total - count + 0.5) / (count + 0.5))
    whole = sum(weight.values()) or 1.0
    return {
        chunk: sum(map(weight.__getitem__, weight.keys() & set(has))) / whole for chunk, has in chunks.items()
    }
