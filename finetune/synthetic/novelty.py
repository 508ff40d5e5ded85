"""Whether a task is new, judged by its content morphemes and their order.

Self-Instruct (Wang et al. 2023, arXiv 2212.10560) compares words by ROUGE-L. The usual tokenizer for that
keeps only [a-z0-9] and sees no Hangul, and Korean words differ by their particles. By morphemes
`수도는 어디인가요` and `수도가 어디입니까` are one task, `고양이의 특징` and `강아지의 특징` are two.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from documents.morphemes import morphemes_of

SAME = 0.8
"""ROUGE-L's F measure over morphemes at and above which two tasks are the same."""
LONGEST = 60
"""Most morphemes of a task that are compared."""


class Novelty:
    """The tasks so far."""

    def __init__(self) -> None:
        self._tasks: list[list[str]] = []
        self._having: defaultdict[str, list[int]] = defaultdict(list)

    def accept(self, text: str) -> bool:
        """Whether the task is new; if so, it is remembered."""
        terms = morphemes_of([text])[0][:LONGEST]
        shared = Counter(at for term in set(terms) for at in self._having[term])
        for at, count in shared.items():
            known = self._tasks[at]
            half = (len(terms) + len(known)) / 2
            # The longest common subsequence has no more terms than the two have in common.
            if count >= SAME * half * _DISTINCT and _longest_common(terms, known) >= SAME * half:
                return False
        for term in set(terms):
            self._having[term].append(len(self._tasks))
        self._tasks.append(terms)
        return True


_DISTINCT = 0.5
"""Least share of distinct terms in a task that the quick test before the exact one assumes."""


def _longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for one in left:
        before = 0
        for at, other in enumerate(right, start=1):
            before, row[at] = row[at], before + 1 if one == other else max(row[at], row[at - 1])
    return row[-1]
