"""A moderation model: a logistic regression for each class over hashed character n-grams."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.checkpoint import CARD_FILE, DataSource
from common.errors import UserError
from common.sentences import split_sentences
from moderation.classes import CLASSES, LEVELS, Level
from moderation.features import BITS, VERSION, runs_of

WEIGHTS_FILE = "model.safetensors"
HINT = "Train it again with `kodolly train moderation`."

Floats = npt.NDArray[np.float32]


class ModerationCard(BaseModel):
    """`kodolly.json` of a moderation model."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    kind: Literal["moderation"] = "moderation"
    name: str
    classes: tuple[str, ...]
    features: int
    """VERSION of moderation.features that the model was trained with."""
    thresholds: dict[str, dict[Level, float]]
    """Class -> level -> the least score of a text of this class and at least this level."""
    licence: str
    data: list[DataSource] = Field(default_factory=list)
    sentences: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    created: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A model's verdict on one text. Scores are probabilities, in the order of CLASSES."""

    scores: tuple[float, ...]
    levels: tuple[Level | None, ...]
    """For each class the highest level whose threshold the score reaches; None when it reaches none."""

    @property
    def flagged(self) -> bool:
        """Whether the text is of any class."""
        return any(level is not None for level in self.levels)


class ModerationModel:
    """A model in memory, made by `load_model`; threads may share it."""

    def __init__(self, card: ModerationCard, weights: Floats, bias: Floats, scale: Floats) -> None:
        """Shapes: `weights` (2^BITS, classes), `bias` (classes), `scale` (2, classes): factors and addends
        that calibrate the logits."""
        self.card = card
        self._weights, self._bias, self._scale = weights, bias, scale
        self._thresholds = np.array(
            [[card.thresholds[name][level] for name in CLASSES] for level in LEVELS], np.float64
        )

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return int(self._weights.size + self._bias.size)

    def probabilities(self, sentences: Sequence[str]) -> npt.NDArray[np.float64]:
        """Calibrated scores, of shape (sentences, classes); the texts are not split any further."""
        runs = runs_of(sentences)
        logits = np.zeros((len(sentences), len(CLASSES)))
        if len(runs.column):
            seen, starts = np.unique(runs.sentence, return_index=True)
            values = self._weights[runs.column] * runs.weights()[:, None]
            logits[seen] = np.add.reduceat(values, starts, axis=0)
        logits = (logits + self._bias) * self._scale[0] + self._scale[1]
        # A sentence with nothing to read in it (blanks, masks, names) is of no class.
        logits[np.bincount(runs.sentence, minlength=len(sentences)) <= 1] = -20.0
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30))))

    def judge(self, text: str) -> Verdict:
        """The verdict on a text of any length: for each class, the score of its worst sentence."""
        sentences = split_sentences(text)
        if not sentences:
            return Verdict((0.0,) * len(CLASSES), (None,) * len(CLASSES))
        return self.verdict(self.probabilities(sentences).max(axis=0))

    def verdict(self, scores: npt.NDArray[np.float64]) -> Verdict:
        """The verdict for one row of scores (classes,)."""
        reached = (scores >= self._thresholds).sum(axis=0)
        levels = tuple(LEVELS[count - 1] if count else None for count in reached)
        return Verdict(tuple(round(float(score), 6) for score in scores), levels)


def load_model(directory: Path) -> ModerationModel:
    """Load the model from a directory that `kodolly train moderation` wrote. Raises UserError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    card = read_moderation_card(directory)
    try:
        tensors = load_file(directory / WEIGHTS_FILE)
        weights, bias, scale = tensors["weights"], tensors["bias"], tensors["scale"]
    except (OSError, KeyError, SafetensorError) as error:
        raise UserError(f"{directory / WEIGHTS_FILE} cannot be read: {error}.", hint=HINT) from error
    if weights.shape != (1 << BITS, len(CLASSES)) or bias.shape != (len(CLASSES),) or scale.shape[0] != 2:
        raise UserError(f"{directory / WEIGHTS_FILE} does not hold the weights of such a model.", hint=HINT)
    return ModerationModel(card, weights, bias, scale)


def read_moderation_card(directory: Path) -> ModerationCard:
    """Read `kodolly.json` of a moderation model. Raises UserError for another kind of model, and for one with
    other classes or another version of the rules."""
    path = directory / CARD_FILE
    try:
        card = ModerationCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{directory} is no moderation model: it has no {CARD_FILE}.", hint=HINT) from error
    except (OSError, ValueError, ValidationError) as error:
        raise UserError(f"{path} is not the card of a moderation model: {error}", hint=HINT) from error
    if card.classes != CLASSES:
        raise UserError(
            f"{directory} is a moderation model for other classes: {', '.join(card.classes)}.",
            hint=f"Expected are {', '.join(CLASSES)}.",
        )
    if card.features != VERSION:
        raise UserError(f"{directory} was trained by other rules of reading text.", hint=HINT)
    missing = [n for n in CLASSES if card.thresholds.get(n, {}).keys() != set(LEVELS)]
    if missing:
        raise UserError(f"{path} has no thresholds for {', '.join(missing)}.", hint=HINT)
    return card
