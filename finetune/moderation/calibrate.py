"""Calibration from a model's logits on sentences that it has not seen: probabilities, and each class's
thresholds."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from finetune.moderation.dialogues import Sentence
from finetune.moderation.fit import Floats
from moderation.classes import CLASSES, LEVEL_BEGINS, LEVELS, Level

MOST_FALSE_ALARMS = 0.002
"""Largest share of clean sentences that may be taken for one class."""
NEVER = 1.1
"""Threshold of a class without any sentence in the data: above every score."""


def membership(sentences: Sequence[Sentence]) -> Floats:
    """An array (sentences, classes) that is 1 where a sentence is of a class, else 0."""
    return np.array([[float(name in s.classes) for name in CLASSES] for s in sentences])


def calibration(logits: Floats, labels: Floats) -> Floats:
    """Factors and addends, of shape (2, classes), that turn `logits` into the logits of calibrated
    probabilities.

    Platt's method with his smoothed targets ("Probabilistic Outputs for Support Vector Machines", 1999).
    """
    return np.stack([_platt(logits[:, c], labels[:, c]) for c in range(labels.shape[1])], axis=1)


def _platt(logits: Floats, labels: Floats) -> Floats:
    positive = labels.sum()
    negative = len(labels) - positive
    if not positive or not negative:
        return np.array([1.0, 0.0])
    targets = np.where(labels > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.column_stack([logits, np.ones(len(logits))])
    found = np.array([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (p - targets) + 1e-6 * found
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        found = found - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    # A factor below zero would reverse the order of the scores, which then say nothing.
    return found if found[0] > 0.05 else np.array([0.05, found[1]])


def probabilities(logits: Floats, scale: Floats) -> Floats:
    """Calibrated probabilities of logits (sentences, classes); `scale`: from `calibration`."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits * scale[0] + scale[1], -30, 30))))


def thresholds(sentences: Sequence[Sentence], scores: Floats) -> dict[str, dict[Level, float]]:
    """Class -> level -> the threshold with the best F1 among those that at most MOST_FALSE_ALARMS of the
    clean sentences reach."""
    clean = np.array([not s.classes for s in sentences])
    found: dict[str, dict[Level, float]] = {}
    for column, name in enumerate(CLASSES):
        levels: dict[Level, float] = {}
        least = 0.0
        for level in LEVELS:
            wanted = np.array([name in s.classes and s.intensity >= LEVEL_BEGINS[level] for s in sentences])
            others = np.array([name not in s.classes for s in sentences])
            least = max(least, _best(scores[:, column], wanted, others, clean))
            levels[level] = float(np.ceil(least * 1e6) / 1e6)
        found[name] = levels
    return found


def _best(
    scores: Floats, wanted: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_], clean: npt.NDArray[np.bool_]
) -> float:
    if not wanted.any():
        return NEVER if not (~others).any() else 0.0  # no sentence of this level: that of the one below
    false_alarms = np.sort(scores[clean])[::-1]
    allowed = int(MOST_FALSE_ALARMS * len(false_alarms))
    # Just above the first clean score beyond the allowed ones. A quantile would not do: clean sentences may
    # be few, and that score itself must stay below the threshold.
    floor = float(false_alarms[allowed]) + 1e-6 if len(false_alarms) > allowed else 0.0
    candidates = np.unique(np.maximum(scores[wanted], floor))
    caught, alarms = np.sort(scores[wanted]), np.sort(scores[others])
    hits = len(caught) - np.searchsorted(caught, candidates)
    wrong = len(alarms) - np.searchsorted(alarms, candidates)
    best = float(candidates[np.argmax(2 * hits / (hits + wrong + len(caught)))])
    # Halfway down to the next score of a sentence that is not of the class: no decision here changes.
    below = np.searchsorted(alarms, best)
    return (best + float(alarms[below - 1])) / 2 if below else best


def decided(scores: Floats, limits: Mapping[str, Mapping[Level, float]], level: Level = "low") -> Floats:
    """1 where a score reaches the threshold of its class and `level`, else 0; the shape of `scores`."""
    return (scores >= np.array([limits[name][level] for name in CLASSES])).astype(float)
