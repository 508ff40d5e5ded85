"""95% intervals of means that stay honest with one vote, and with many votes of few people."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

Z = 1.959964
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 1 to 10 degrees of freedom, two-sided 95%."""


@dataclass(frozen=True)
class Interval:
    """A value and where it may lie, with 95% confidence."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float, offset: float) -> "Interval":
        """The same in another unit; `factor` is positive."""
        return Interval(*(offset + factor * one for one in (self.value, self.low, self.high)))


def t_quantile(clusters: int) -> float:
    """How many standard errors an interval reaches when the error comes from so many clusters."""
    freedom = max(1, clusters - 1)
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    return Z + 2.65 / freedom  # within 0.03 of the table


def wilson(share: float, n: float) -> Interval:
    """Wilson's interval of a share of `n` (which need not be whole) trials; all of 0 to 1 without any.

    Wilson (1927), Journal of the American Statistical Association 22, 209-212.
    """
    if n <= 0:
        return Interval(share, 0.0, 1.0)
    spread = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    centre, scale = share + Z * Z / (2 * n), 1 + Z * Z / n
    return Interval(share, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale))


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """Mean of values in 0 to 1, of which those of one cluster (a rater) may be alike.

    Wilson's interval for as many independent values as would give the spread between the clusters; never
    more than there are values, and as many as there are clusters when all values are the same.
    """
    n = len(values)
    if not n:
        return Interval(0.5, 0.0, 1.0)
    mean = sum(values) / n
    sums: dict[Hashable, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    groups = len(sums)
    if groups == n:
        return wilson(mean, n)
    if groups == 1:
        return wilson(mean, 1)
    variance = groups / (groups - 1) * sum(error * error for error in sums.values()) / (n * n)
    variance *= (t_quantile(groups) / Z) ** 2
    likely = mean * (1 - mean)
    return wilson(mean, min(float(n), likely / variance) if variance > 0 and likely > 0 else float(groups))
