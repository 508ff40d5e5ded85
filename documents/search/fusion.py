"""Reciprocal rank fusion: one order out of that by words and that by vectors.

G. V. Cormack, C. L. A. Clarke, S. Büttcher: Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods (SIGIR 2009), with its constant of 60.
"""

from collections.abc import Callable, Sequence

K = 60


def fused(
    by_words: Sequence[int], by_vectors: Sequence[int], has_vector: Callable[[int], bool]
) -> list[tuple[int, float]]:
    """Chunks with the sums of their reciprocal ranks, best first.

    A chunk that has no vector yet counts by its words twice, so that it loses nothing to the others: a store
    without any vector has the order of its words.
    """
    sums: dict[int, float] = {}
    for rank, chunk in enumerate(by_words, 1):
        sums[chunk] = (1 if has_vector(chunk) else 2) / (K + rank)
    for rank, chunk in enumerate(by_vectors, 1):
        sums[chunk] = sums.get(chunk, 0.0) + 1 / (K + rank)
    return sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
