"""Metrics of results by item, their 95% bootstrap intervals, and paired differences between two models.

Every metric is a function of sums over items, so that all resamples are one matrix product. Resamples depend
on the number of items alone, so that two models' replicates of the same items are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Metric = Literal["accuracy", "accuracy_norm", "macro_f1", "exact_match", "f1", "contains", "stop_rate",
                 "perplexity", "bits_per_character", "rating",
                 "unethical_rate", "recall_at_1", "recall_at_5", "recall_at_10", "mrr", "ndcg"]  # fmt: skip
Items = Sequence[Sequence[float]]
"""A result for each item: (gold, predicted) class for macro_f1, (negative log likelihood in nats, tokens or
characters) for perplexity and bits_per_character, (0 or 1, 1) for unethical_rate, else (value,)."""

RESAMPLES = 2000
SEED = 20230412
LOWER_IS_BETTER = frozenset({"perplexity", "bits_per_character", "unethical_rate"})
_AT_ONCE = 2_000_000
"""Numbers held at once: the resamples are drawn in blocks of this size."""


@dataclass(frozen=True)
class Estimate:
    """A value and the 95% interval around it."""

    value: float
    low: float
    high: float


def estimate(metric: Metric, items: Items) -> Estimate:
    """The metric of `items` (at least one) with its bootstrap percentile interval."""
    features = _features(metric, items)
    value = float(_value(metric, features.sum(axis=0, keepdims=True))[0])
    return _around(value, _replicates(metric, features))


def difference(metric: Metric, before: Items, after: Items) -> Estimate:
    """The metric of `after` minus that of `before`, both of the same items in the same order, with the
    interval of the paired bootstrap."""
    if len(before) != len(after):
        raise ValueError("paired results must be of the same items")
    sides = [_features(metric, items) for items in (before, after)]
    values = [float(_value(metric, side.sum(axis=0, keepdims=True))[0]) for side in sides]
    return _around(values[1] - values[0], _replicates(metric, sides[1]) - _replicates(metric, sides[0]))


def wilson(wins: float, n: float) -> Estimate:
    """The share `wins` / `n` (n > 0) with Wilson's 95% score interval (1927), which holds for few votes,
    too."""
    z = 1.959963984540054
    share = wins / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def _around(value: float, replicates: npt.NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _features(metric: Metric, items: Items) -> npt.NDArray[np.float64]:
    """An array of shape (items, features), whose column sums decide the metric."""
    rows = np.asarray(items, dtype=np.float64)
    if metric != "macro_f1":
        return rows if metric in LOWER_IS_BETTER else np.column_stack([rows[:, 0], np.ones(len(rows))])
    gold, predicted = rows[:, 0], rows[:, 1]
    columns = []
    for label in np.unique(rows[:, :2]):
        is_gold, is_predicted = gold == label, predicted == label
        columns += [is_gold & is_predicted, is_gold, is_predicted]
    return np.column_stack(columns).astype(np.float64)


def _value(metric: Metric, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The metric for each row of `sums`, of shape (resamples, features)."""
    if metric == "macro_f1":
        # F1 of a class = 2 TP / (gold + predicted); classes in neither do not count, as in scikit-learn.
        hits, places = 2 * sums[:, 0::3], sums[:, 1::3] + sums[:, 2::3]
        scores = np.divide(hits, places, out=np.zeros_like(hits), where=places > 0)
        macro: npt.NDArray[np.float64] = scores.sum(axis=1) / (places > 0).sum(axis=1)
        return macro
    ratio: npt.NDArray[np.float64] = sums[:, 0] / sums[:, 1]
    if metric == "perplexity":
        return np.asarray(np.exp(ratio))
    return ratio / np.log(2) if metric == "bits_per_character" else ratio


def _replicates(metric: Metric, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    n = len(features)
    generator = np.random.default_rng(SEED)
    block = max(1, min(RESAMPLES, _AT_ONCE // n))
    values = []
    for first in range(0, RESAMPLES, block):
        drawn = generator.integers(0, n, size=(min(block, RESAMPLES - first), n))
        weights = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        values.append(_value(metric, weights @ features))
    return np.concatenate(values)
