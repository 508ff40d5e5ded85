"""How far raters agree: Krippendorff's alpha.

Krippendorff (2011), Computing Krippendorff's Alpha-Reliability.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable

Difference = Callable[[float, float], float]


def nominal(a: float, b: float) -> float:
    """For choices: they are the same or not."""
    return float(a != b)


def interval(a: float, b: float) -> float:
    """For scores: twice as far is four times as bad."""
    return (a - b) ** 2


def alpha(judged: Iterable[tuple[Hashable, float]], difference: Difference) -> float | None:
    """1 is agreement, 0 what chance gives, less is worse than chance. `judged` are (what was judged, value);
    None when nothing was judged twice, or when everybody always said the same."""
    units: dict[Hashable, Counter[float]] = defaultdict(Counter)
    for unit, value in judged:
        units[unit][value] += 1
    compared = [counts for counts in units.values() if counts.total() >= 2]
    everything: Counter[float] = sum(compared, Counter())
    n = everything.total()
    if n < 2:
        return None
    observed = sum(_spread(counts, difference) / (counts.total() - 1) for counts in compared) / n
    expected = _spread(everything, difference) / (n * (n - 1))
    return 1 - observed / expected if expected else None


def _spread(counts: Counter[float], difference: Difference) -> float:
    """Sum of the differences over all ordered pairs of values."""
    return sum(m * n * difference(a, b) for a, m in counts.items() for b, n in counts.items())
