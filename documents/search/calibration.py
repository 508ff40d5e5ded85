"""From which relevance on a store probably knows of what a question is about, measured on the store itself.

Questions are made of the words of its own passages, and each is asked without the passage that it comes from:
the best of what is then found is how relevant a store's passages are to a question that they don't answer.
"""

import random
import re
from collections.abc import Sequence

from documents.search.store import Store

QUESTIONS = 100
FEWEST_CHUNKS = 50
"""In a smaller store chance decides; nothing is left out there."""
QUANTILE = 0.5
"""Of the relevances of what does not answer: half of such questions are refused, and few others."""
MOST = 0.35
"""The greatest least relevance, whatever is measured: to refuse what is known is worse than to try."""
ANSWERED = 0.8
"""A passage of this relevance says the same as the one that a question comes from: no example."""
FEWEST_EXAMPLES = 20
WORDS = 5
"""Of a question."""
FOUND = 5
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


def _best_of_others(store: Store, text: str, chance: random.Random) -> float | None:
    """None for a passage of which no question can be made."""
    sentences = [words for one in _SENTENCES.split(text) if len(words := one.split()) >= WORDS]
    if not sentences:
        return None
    words = chance.choice(sentences)
    asked = " ".join(words[at] for at in sorted(chance.sample(range(len(words)), WORDS)))
    others = [hit.relevance for hit in store.search(asked, FOUND + 1) if hit.text != text]
    return max(others[:FOUND], default=0.0)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0
