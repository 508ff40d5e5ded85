"""Whether a task is a new one: by its content morphemes in their order.

Self-Instruct (Wang et al. 2023, arXiv 2212.10560) compares words by ROUGE-L. Its usual tokenizer
keeps [a-z0-9] alone and sees no Hangul, and Korean words differ by their particles. Morphemes tell
`수도는 어디인가요` and `수도가 어디입니까` as one, `고양이의 특징` and `강아지의 특징` as two.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from documents.search.terms import morphemes_of

SAME = 0.8
"""ROUGE-L's F of morphemes from which on two tasks are one."""
LONGEST = 60
"""Morphemes of a task that are looked at."""


class Novelty:
    """All tasks so far."""

    def __init__(self) -> None:
        self._tasks: list[list[str]] = []
        self._having: defaultdict[str, list[int]] = defaultdict(list)

    def accept(self, text: str) -> bool:
        """Whether no task so far is nearly the same; a new one is remembered."""
        terms = morphemes_of([text])[0][:LONGEST]
        shared = Counter(at for term in set(terms) for at in self._having[term])
        for at, count in shared.items():
            known = self._tasks[at]
            half = (len(terms) + len(known)) / 2
            # A longest common subsequence has no more terms than both have.
            if count >= SAME * half * _DISTINCT and _longest_common(terms, known) >= SAME * half:
                return False
        for term in set(terms):
            self._having[term].append(len(self._tasks))
        self._tasks.append(terms)
        return True


_DISTINCT = 0.5
"""Least share of different terms among all of a task, as the first look reckons with."""


def _longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for one in left:
        before = 0
        for at, other in enumerate(right, start=1):
            before, row[at] = row[at], before + 1 if one == other else max(row[at], row[at - 1])
    return row[-1]
