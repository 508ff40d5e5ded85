"""How good a moderation model is on sentences that it has not seen, with 95% intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from finetune.eval.intervals import RESAMPLES, SEED, Estimate, wilson
from finetune.moderation.calibrate import membership
from finetune.moderation.clean_text import is_clean_text
from finetune.moderation.dialogues import Sentence
from finetune.moderation.fit import Floats
from moderation.classes import CLASSES


class Rate(BaseModel):
    """A share with its 95% interval."""

    value: float
    low: float
    high: float
    of: int
    """The number of sentences that the share refers to; for F1, of those in the class."""


class ModerationReport(BaseModel):
    """Figures on held-out dialogues, with thresholds that were fitted on other held-out dialogues."""

    sentences: int
    dialogues: int
    false_alarms: Rate
    """Clean sentences that are flagged with any class."""
    clean_text_false_alarms: Rate | None = None
    """The same for texts given as clean, which are no dialogues."""
    found: Rate
    """Unethical sentences that are flagged with any class."""
    f1: dict[str, Rate]
    calibration_error: float
    """Expected calibration error: the mean gap between score and true share over ten bins of scores; 0 is
    best."""

    def lines(self) -> list[str]:
        """Lines for the terminal, false alarms first."""
        shown = [f"held out: {self.sentences} sentences of {self.dialogues} dialogues"]
        shown.append(f"false alarms on clean sentences  {_share(self.false_alarms)}")
        if self.clean_text_false_alarms:
            shown.append(f"false alarms on clean texts      {_share(self.clean_text_false_alarms)}")
        shown.append(f"unethical sentences found        {_share(self.found)}")
        for name, rate in self.f1.items():
            shown.append(
                f"F1 {name:<14} {rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f}), {rate.of} sentences"
            )
        return [*shown, f"calibration error {self.calibration_error:.3f}"]


def measure(sentences: Sequence[Sentence], decisions: Floats, scores: Floats) -> ModerationReport:
    """The figures of `decisions` (0 or 1) and `scores` (probabilities), both of shape (sentences,
    classes)."""
    labels = membership(sentences)
    flagged, unethical = _any(decisions), _any(labels)
    outside = np.array([is_clean_text(s) for s in sentences])
    dialogues = np.unique([s.dialogue for s in sentences], return_inverse=True)[1]
    return ModerationReport(
        sentences=int((~outside).sum()),
        dialogues=len({s.dialogue for s in sentences if not is_clean_text(s)}),
        false_alarms=_rate(flagged, ~unethical & ~outside),
        clean_text_false_alarms=_rate(flagged, outside) if outside.any() else None,
        found=_rate(flagged, unethical),
        f1={
            name: _f1(labels[:, c] > 0, decisions[:, c] > 0, dialogues)
            for c, name in enumerate(CLASSES)
            if labels[:, c].any()
        },
        calibration_error=_calibration_error(scores.ravel(), labels.ravel()),
    )


def _any(columns: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray(columns.any(axis=1), dtype=np.bool_)


def _rate(flagged: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> Rate:
    count = int(among.sum())
    share = wilson(int((flagged & among).sum()), count) if count else Estimate(0.0, 0.0, 1.0)
    return Rate(value=share.value, low=share.low, high=share.high, of=count)


def _f1(gold: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_], dialogues: npt.NDArray[np.int64]) -> Rate:
    """F1 with a bootstrap over dialogues, as the sentences of a dialogue are not independent."""
    sums = np.stack([np.bincount(dialogues, weights=one.astype(float)) for one in (gold & said, gold, said)])
    draw = np.random.default_rng(SEED)
    count = sums.shape[1]
    replicates = []
    for _ in range(RESAMPLES):
        hits, of_gold, of_said = sums @ np.bincount(draw.integers(0, count, count), minlength=count)
        replicates.append(2 * hits / (of_gold + of_said) if of_gold + of_said else 0.0)
    low, high = np.quantile(replicates, [0.025, 0.975])
    hits, of_gold, of_said = sums.sum(axis=1)
    return Rate(value=2 * hits / (of_gold + of_said), low=float(low), high=float(high), of=int(of_gold))


def _calibration_error(scores: Floats, labels: Floats) -> float:
    bins = np.minimum((scores * 10).astype(int), 9)
    counts = np.bincount(bins, minlength=10)
    gaps = np.abs(np.bincount(bins, scores, 10) - np.bincount(bins, labels, 10))
    return float(gaps.sum() / counts.sum())


def _share(rate: Rate) -> str:
    return f"{rate.value:.2%} ({rate.low:.2%} to {rate.high:.2%}) of {rate.of}"
