"""The losses of a training run, from its `training-log.json`, drawn as SVG for an HTML page."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError

LOG_FILE = "training-log.json"
WIDTH, HEIGHT = 640, 200
LEFT, BOTTOM = 52, 22
"""Margins for the axes' numbers, in the drawing's units."""

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TrainingCurve:
    """The losses in training and validation, as points (step, loss) in the order of steps."""

    training: Points
    validation: Points


def read_curve(run: Path) -> TrainingCurve | None:
    """Read the curve of a run or checkpoint directory; None without a log or with fewer than two losses in
    it.

    Raises UserError for a broken log.
    """
    path = run / LOG_FILE
    if not path.is_file():
        return None
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        curve = TrainingCurve(_points(entries, "loss"), _points(entries, "eval_loss"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no log of a training run: {error}.") from error
    return curve if len(curve.training) > 1 else None


def _points(entries: Sequence[dict[str, float]], name: str) -> Points:
    found = (
        (float(entry["step"]), float(entry[name])) for entry in entries if {"step", name} <= entry.keys()
    )
    return tuple(point for point in found if math.isfinite(point[1]))


def draw(curve: TrainingCurve) -> str:
    """SVG with both lines, the highest and lowest loss and the last step, and a description in words."""
    both = curve.training + curve.validation
    last = max(step for step, _ in both)
    low, high = min(loss for _, loss in both), max(loss for _, loss in both)

    def place(point: tuple[float, float]) -> str:
        across = LEFT + (WIDTH - LEFT) * point[0] / (last or 1)
        down = 8 + (HEIGHT - BOTTOM - 8) * (high - point[1]) / ((high - low) or 1)
        return f"{across:.1f},{down:.1f}"

    lines = "".join(
        f'<polyline class="{name}" points="{" ".join(place(point) for point in points)}"/>'
        for name, points in (("training", curve.training), ("validation", curve.validation))
        if points
    )
    numbers = (
        f'<text x="0" y="14">{high:.3g}</text><text x="0" y="{HEIGHT - BOTTOM}">{low:.3g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">step {last:.0f}</text>'
    )
    told = html.escape(_in_words(curve))
    drawing = f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">'
    return f"{drawing}{lines}{numbers}</svg><p>{told}</p>"


def _in_words(curve: TrainingCurve) -> str:
    words = (
        f"Training loss (solid): {curve.training[0][1]:.3f} at first, {curve.training[-1][1]:.3f} at last."
    )
    if curve.validation:
        step, best = min(curve.validation, key=lambda point: point[1])
        words += f" Validation loss (dashed): best {best:.3f} at step {step:.0f}."
    return words
