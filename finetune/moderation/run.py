"""`kodolly train moderation`: from labelled dialogues to a moderation model and its figures."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.checkpoint import CARD_FILE, DataSource
from common.errors import UserError
from finetune.files.hashes import file_hash
from finetune.files.whole import whole_directory
from finetune.moderation.calibrate import calibration, decided, membership, probabilities, thresholds
from finetune.moderation.clean_text import clean_sentences, is_clean_text
from finetune.moderation.dialogues import Sentence, data_files, read_dialogues
from finetune.moderation.figures import ModerationReport, measure
from finetune.moderation.fit import Floats, SparseRows, fit, rows_of
from finetune.progress import Progress, Report, finished
from moderation.classes import CLASSES, Level
from moderation.features import VERSION
from moderation.model import WEIGHTS_FILE, ModerationCard

RowNumbers = npt.NDArray[np.int64]

STRENGTH = 30.0
"""C of the logistic regressions."""
PARTS = 5
"""Folds of the cross-validation, split by dialogue."""
ENOUGH = 20_000
"""With this many sentences in all, figures from one held-out fold are certain enough, and only one is held
out."""
FEWEST_DIALOGUES = 20
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class ClassWeights:
    """A logistic regression for each class, before calibration: weights (used columns, classes), bias
    (classes)."""

    weights: Floats
    bias: Floats

    def logits(self, rows: SparseRows) -> Floats:
        """The logits, of shape (rows, classes)."""
        columns = [rows.times(self.weights[:, c]) + self.bias[c] for c in range(len(self.bias))]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class HeldOut:
    """Sentences that were held out, and their logits by a model that has not seen them."""

    sentences: list[Sentence]
    logits: Floats


def train_moderation(
    data: Sequence[Path], clean: Sequence[Path], target: Path, licence: str, report: Report
) -> ModerationReport:
    """Train on the labelled dialogues `data` and the harmless texts `clean`, and write the model to `target`.

    Raises UserError when the data cannot be used or `target` exists.
    """
    began = time.monotonic()
    if target.exists():
        raise UserError(f"{target} exists.", hint="Choose another directory, or remove it.")
    sentences = read_dialogues(data) + clean_sentences(clean)
    if len(dialogues := {s.dialogue for s in sentences if not is_clean_text(s)}) < FEWEST_DIALOGUES:
        raise UserError(
            f"{len(dialogues)} dialogues are too few: some must be held out to fit thresholds on.",
            hint=f"At least {FEWEST_DIALOGUES} are needed, hundreds to be of use.",
        )
    _refuse_one_sided(sentences)
    with whole_directory(target) as directory:
        rows = rows_of([s.text for s in sentences])
        held_out = _held_out(sentences, rows, report)
        scale = calibration(held_out.logits, membership(held_out.sentences))
        limits = thresholds(held_out.sentences, probabilities(held_out.logits, scale))
        figures = _figures(held_out)
        final = _fitted(rows, membership(sentences), report, "training on everything")
        card = _card(target.resolve().name, sentences, limits, licence, [*data, *clean], figures)
        _write(directory, card, ClassWeights(rows.spread_out(final.weights), final.bias), scale, figures)
    report(finished("moderation model", f"{time.monotonic() - began:.0f} s"))
    return figures


def _refuse_one_sided(sentences: Sequence[Sentence]) -> None:
    counts = Counter(name for s in sentences for name in s.classes)
    if not counts or not any(not s.classes for s in sentences):
        raise UserError("The data needs both clean and unethical sentences.")


def part_of(dialogue: str) -> int:
    """The fold of a dialogue, from 0; it depends on no other dialogue."""
    return hashlib.sha256(dialogue.encode()).digest()[0] % PARTS


def _held_out(sentences: list[Sentence], rows: SparseRows, report: Report) -> HeldOut:
    """Hold out each fold, or one where that is ENOUGH, and train a model on the others to judge it."""
    parts = np.array([part_of(s.dialogue) for s in sentences])
    chosen: list[Sentence] = []
    logits: list[Floats] = []
    for part in range(1 if len(sentences) > ENOUGH else PARTS):
        inside: RowNumbers = np.flatnonzero(parts == part)
        others: RowNumbers = np.flatnonzero(parts != part)
        model = _fitted(
            rows.subset(others),
            membership([sentences[i] for i in others]),
            report,
            f"held-out part {part + 1}",
        )
        chosen += [sentences[i] for i in inside]
        logits.append(model.logits(rows.subset(inside)))
    return HeldOut(chosen, np.concatenate(logits))


def _fitted(rows: SparseRows, labels: Floats, report: Report, stage: str) -> ClassWeights:
    weights, biases = [], []
    for column, name in enumerate(CLASSES):
        report(Progress(f"moderation model: {stage}", column / len(CLASSES), name))
        one, bias = fit(rows, labels[:, column], STRENGTH)
        weights.append(one)
        biases.append(bias)
    return ClassWeights(np.stack(weights, axis=1), np.array(biases))


def _figures(held_out: HeldOut) -> ModerationReport:
    """The figures of each half of the held-out dialogues, with calibration and thresholds from the other
    half."""
    half = np.array([hashlib.sha256(s.dialogue.encode()).digest()[1] % 2 for s in held_out.sentences])
    sentences: list[Sentence] = []
    scores, decisions = [], []
    for side in (0, 1):
        fitted, judged = np.flatnonzero(half != side), np.flatnonzero(half == side)
        teachers = [held_out.sentences[i] for i in fitted]
        scale = calibration(held_out.logits[fitted], membership(teachers))
        limits = thresholds(teachers, probabilities(held_out.logits[fitted], scale))
        sentences += [held_out.sentences[i] for i in judged]
        scores.append(probabilities(held_out.logits[judged], scale))
        decisions.append(decided(scores[-1], limits))
    return measure(sentences, np.concatenate(decisions), np.concatenate(scores))


def _card(
    name: str,
    sentences: Sequence[Sentence],
    limits: dict[str, dict[Level, float]],
    licence: str,
    paths: Sequence[Path],
    figures: ModerationReport,
) -> ModerationCard:
    per_file = Counter(s.dialogue.rsplit("#", 1)[0] for s in sentences)
    files = data_files(paths)
    return ModerationCard(
        name=name,
        classes=CLASSES,
        features=VERSION,
        thresholds=limits,
        licence=licence,
        data=[
            DataSource(
                path=path.name,
                sha256=file_hash(path),
                rows=sum(count for begun, count in per_file.items() if str(path) in begun),
            )
            for path in files
        ],
        sentences=len(sentences),
        metrics={"false_alarms": figures.false_alarms.value, "found": figures.found.value}
        | {f"f1_{name.lower()}": rate.value for name, rate in figures.f1.items()},
        created=int(time.time()),
    )


def _write(
    directory: Path, card: ModerationCard, whole: ClassWeights, scale: Floats, figures: ModerationReport
) -> None:
    from safetensors.numpy import save_file

    tensors = {"weights": whole.weights, "bias": whole.bias, "scale": scale}
    save_file(
        {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in tensors.items()},
        directory / WEIGHTS_FILE,
    )
    for name, made in ((CARD_FILE, card), (REPORT_FILE, figures)):
        (directory / name).write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
