"""Logistic regression by L-BFGS over sparse rows, in NumPy (Nocedal & Wright, Numerical Optimization)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moderation.features import BITS, run_values, runs_of

Floats = npt.NDArray[np.float64]
_AT_ONCE = 5000
"""Sentences whose runs are computed together."""
_ARMIJO = 1e-4
_CURVATURE = 1e-10
_FLAT = 2e-3
"""The search ends where the gradient's largest component is this share of the largest at the start."""


@dataclass(frozen=True)
class SparseRows:
    """Sentences as the rows of a sparse matrix; all entries of a row have the same value, `value[row]`."""

    columns: npt.NDArray[np.int32]
    """Column of each entry, as an index of `used`."""
    used: npt.NDArray[np.int32]
    """Those of the model's 2^BITS columns in which any row has an entry; the weights of all others stay 0."""
    starts: npt.NDArray[np.int64]
    """Index in `columns` at which each row begins, and one past the last row."""
    value: npt.NDArray[np.float32]

    def times(self, weights: Floats) -> Floats:
        """The matrix times `weights` (used columns,): a number for each row."""
        sums = np.concatenate([[0.0], np.cumsum(weights[self.columns])])
        found: Floats = (sums[self.starts[1:]] - sums[self.starts[:-1]]) * self.value
        return found

    def transposed_times(self, numbers: Floats) -> Floats:
        """The transposed matrix times `numbers` (rows,): a number for each used column."""
        spread = np.repeat(numbers * self.value, np.diff(self.starts))
        found: Floats = np.bincount(self.columns, weights=spread, minlength=len(self.used)).astype(np.float64)
        return found

    def subset(self, chosen: npt.NDArray[np.int64]) -> "SparseRows":
        """The matrix of the rows `chosen`."""
        lengths = np.diff(self.starts)[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.arange(starts[-1]) - np.repeat(starts[:-1] - self.starts[chosen], lengths)
        return SparseRows(self.columns[offsets], self.used, starts, self.value[chosen])

    def spread_out(self, weights: Floats) -> Floats:
        """Weights of shape (used columns, classes) as (2^BITS, classes), zero in unused columns."""
        whole = np.zeros((1 << BITS, weights.shape[1]))
        whole[self.used] = weights
        return whole


def rows_of(texts: Sequence[str]) -> SparseRows:
    """The runs of `texts` as a sparse matrix."""
    columns, counts = [], []
    for first in range(0, len(texts), _AT_ONCE):
        runs = runs_of(texts[first : first + _AT_ONCE])
        columns.append(runs.column.astype(np.int32))
        counts.append(np.bincount(runs.sentence, minlength=runs.sentences))
    lengths = np.concatenate(counts)
    used, places = np.unique(np.concatenate(columns), return_inverse=True)
    return SparseRows(
        places.astype(np.int32), used, np.concatenate([[0], np.cumsum(lengths)]), run_values(lengths)
    )


def fit(rows: SparseRows, labels: Floats, strength: float, *, iterations: int = 60) -> tuple[Floats, float]:
    """Weights and bias of a logistic regression for labels of 0 and 1, one per row.

    `strength` is scikit-learn's C: the greater, the weaker the L2 penalty; the bias has no penalty.
    """

    def loss(point: Floats) -> tuple[float, Floats]:
        weights, bias = point[:-1], point[-1]
        logits = rows.times(weights) + bias
        wrong = 1.0 / (1.0 + np.exp(-logits)) - labels
        value = strength * float(np.sum(np.logaddexp(0.0, logits) - labels * logits))
        slope = np.append(strength * rows.transposed_times(wrong) + weights, strength * wrong.sum())
        return value + 0.5 * float(weights @ weights), slope

    share = np.clip(labels.mean(), 1e-6, 1 - 1e-6)
    start = np.append(np.zeros(len(rows.used)), np.log(share / (1 - share)))
    point = minimised(loss, start, iterations)
    return point[:-1], float(point[-1])


def minimised(
    loss: Callable[[Floats], tuple[float, Floats]], point: Floats, iterations: int, memory: int = 8
) -> Floats:
    """A point near the minimum of the smooth convex `loss`, which returns value and gradient; L-BFGS with
    `memory` remembered steps."""
    value, slope = loss(point)
    flat = _FLAT * float(np.abs(slope).max())
    steps: list[tuple[Floats, Floats, float]] = []
    for _ in range(iterations):
        if np.abs(slope).max() <= flat:
            break
        way = -_curved(slope, steps)
        downhill = float(slope @ way)
        length = 1.0 if steps else min(1.0, 1.0 / float(np.abs(slope).sum()))
        for _ in range(30):
            beyond = point + length * way
            new_value, new_slope = loss(beyond)
            if new_value <= value + _ARMIJO * length * downhill:
                break
            length /= 2
        else:
            break
        moved, turned = beyond - point, new_slope - slope
        if (curvature := float(moved @ turned)) > _CURVATURE:
            steps = [*steps[-memory + 1 :], (moved, turned, 1.0 / curvature)]
        point, value, slope = beyond, new_value, new_slope
    return point


def _curved(slope: Floats, steps: Sequence[tuple[Floats, Floats, float]]) -> Floats:
    """The gradient times the inverse Hessian that the last steps suggest (L-BFGS two-loop recursion)."""
    way = slope.copy()
    kept = []
    for moved, turned, rho in reversed(steps):
        kept.append(rho * float(moved @ way))
        way -= kept[-1] * turned
    if steps:
        moved, turned, _ = steps[-1]
        way *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned, rho), alpha in zip(steps, reversed(kept), strict=True):
        way += moved * (alpha - rho * float(turned @ way))
    return way
