"""The least relevance at which a store probably answers a question, measured on the store itself.

Questions are made of the words of its own passages, and each is asked without the passage that it comes from:
the best of what is then found is how relevant a store's passages are to a question that they don't answer.
"""

import random
import re
import statistics
from collections.abc import Callable, Sequence

from documents.search.evidence import Evidence
from documents.search.store import Hit, Store
from documents.search.vectors import QueryVector, VectorCache

QUESTIONS = 100
FEWEST_CHUNKS = 50
"""Fewest chunks of a store that is measured: in a smaller one chance would decide, so nothing is left out."""
QUANTILE = 0.5
"""The quantile, among relevances of passages that do not answer, that becomes the least relevance: half of
such questions are refused, and few others."""
MOST = 0.35
"""Upper bound of the least relevance, whatever is measured: refusing what is known is worse than trying."""
ANSWERED = 0.8
"""A passage of this relevance says the same as the one that a question comes from: no example."""
FEWEST_EXAMPLES = 20
WORDS = 5
"""How many words a question is made of."""
FOUND = 5
QUANTILE_OF_BOTH = 0.75
"""The same for the sum of relevance and similarity, which tells better what does not answer."""
LEAST_SCALE = 1e-3
_SENTENCES = re.compile(r"[.?!。]\s+|\n+")


def calibrate(store: Store) -> float:
    """Measure and remember the least relevance of a store; returns it, 0 for a store that is too small.

    The same store gives the same figure. It takes about a second. Raises UserError as `Store.search` does.
    """
    least = 0.0
    if store.count_chunks() >= FEWEST_CHUNKS:
        chance = random.Random(0)
        measured = [
            best
            for text in store.sample_texts(QUESTIONS, chance)
            if (best := _best_of_others(store, text, chance)) is not None and best < ANSWERED
        ]
        if len(measured) >= FEWEST_EXAMPLES:
            least = min(MOST, _quantile(measured, QUANTILE))
    store.remember_least_relevance(least)
    return least


def calibrate_both(
    store: Store, embedded: Callable[[Sequence[str]], Sequence[QueryVector]], cache: VectorCache
) -> Evidence | None:
    """The same for words and vectors together; returns what the store remembers, None for one that is too
    small. `embedded` makes vectors of questions. Raises UserError as `Store.search` does."""
    evidence = None
    if store.count_chunks() >= FEWEST_CHUNKS:
        chance = random.Random(0)
        texts = store.sample_texts(QUESTIONS, chance)
        pairs = [(text, asked) for text in texts if (asked := _question(text, chance)) is not None]
        vectors = embedded([asked for _, asked in pairs]) if pairs else []
        measured = []
        for (text, asked), near in zip(pairs, vectors, strict=True):
            hits = store.search_by_both(asked, near, cache, FOUND + 1)
            if hits is None:  # the vectors are being made anew
                return None
            others = _others(hits, text)
            if others and max(hit.relevance for hit in others) < ANSWERED:
                measured.append(others)
        if len(measured) >= FEWEST_EXAMPLES:
            evidence = _evidence(measured)
    store.remember_evidence(evidence)
    return evidence


def knows(store: Store, hits: Sequence[Hit]) -> bool:
    """Whether the store probably knows of a question for which it has found these."""
    relevance = max((hit.relevance for hit in hits), default=0.0)
    evidence = store.evidence() if any(hit.similarity is not None for hit in hits) else None
    if evidence is None:
        return relevance >= store.least_relevance()
    return relevance >= MOST or evidence.weight(hits) >= evidence.least


def _evidence(measured: Sequence[Sequence[Hit]]) -> Evidence:
    relevances = [max(hit.relevance for hit in hits) for hits in measured]
    similarities = [max(hit.similarity or 0.0 for hit in hits) for hits in measured]
    scales = [max(LEAST_SCALE, statistics.pstdev(values)) for values in (relevances, similarities)]
    unmeasured = Evidence(scales[0], scales[1], 0.0)
    least = _quantile([unmeasured.weight(hits) for hits in measured], QUANTILE_OF_BOTH)
    return Evidence(scales[0], scales[1], least)


def _question(text: str, chance: random.Random) -> str | None:
    """None for a passage of which none can be made."""
    sentences = [words for one in _SENTENCES.split(text) if len(words := one.split()) >= WORDS]
    if not sentences:
        return None
    words = chance.choice(sentences)
    return " ".join(words[at] for at in sorted(chance.sample(range(len(words)), WORDS)))


def _best_of_others(store: Store, text: str, chance: random.Random) -> float | None:
    """None for a passage of which no question can be made."""
    asked = _question(text, chance)
    if asked is None:
        return None
    return max((hit.relevance for hit in _others(store.search(asked, FOUND + 1), text)), default=0.0)


def _others(hits: Sequence[Hit], text: str) -> list[Hit]:
    """The best, without the passage that the question comes from."""
    return [hit for hit in hits if hit.text != text][:FOUND]


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0
