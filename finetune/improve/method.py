"""The method by which a turn trains, and its recipe: that of the serving checkpoint, adjusted."""

from dataclasses import dataclass
from typing import Any, Literal

from common.checkpoint import CheckpointCard
from finetune.recipes.keys import METHOD_DEFAULTS

Method = Literal["lora", "qlora", "dpo", "kto"]

CORRECTIONS, PAIRS, EACH_LABEL = 30, 50, 50
"""The least number of each that is worth a training run."""
HELD_OUT = 8
"""The least number of held-out questions with a preference; with fewer the result could not be judged."""
PREFERENCE_RATE = 1 / 40
"""Learning rate of preference training as a multiple of LoRA's, as in the defaults of recipes."""
KEPT = (
    "max_length",
    "over_length",
    "batch_size",
    "gradient_accumulation",
    "gradient_checkpointing",
    "lora",
    "dtype",
    "seed",
    "licence",
    "end_token",
    "smoke_test",
    "warmup",
)
"""Keys of the checkpoint's recipe that mean the same for every method, and so are taken over."""
SUPERVISED = ("lora", "qlora")


@dataclass(frozen=True)
class Counts:
    """How much there is to learn from."""

    pairs: int
    good: int
    bad: int
    corrections: int
    held_out: int
    """Questions with a preference that are kept from training, to judge the result."""


@dataclass(frozen=True)
class Choice:
    """The method that a turn trains by."""

    method: Literal["lora", "dpo", "kto"]
    why: str


def choose(counts: Counts) -> Choice | str:
    """The method, or in words what is missing for every method.

    Corrections come first, as they alone show what the model does not know. Pairs tell more than labels.
    """
    if counts.held_out < HELD_OUT:
        missing = HELD_OUT - counts.held_out
        return f"the result could not be judged: preferences on {missing} more held-out questions are needed"
    if counts.corrections >= CORRECTIONS:
        return Choice("lora", f"{counts.corrections} corrected answers say what the model does not know")
    if counts.pairs >= PAIRS:
        return Choice("dpo", f"{counts.pairs} pairs say which of two answers is better")
    if min(counts.good, counts.bad) >= EACH_LABEL:
        return Choice("kto", f"{counts.good} good and {counts.bad} bad answers, few of them in pairs")
    good, bad = (max(0, EACH_LABEL - count) for count in (counts.good, counts.bad))
    return (
        f"{CORRECTIONS - counts.corrections} more corrected answers, {PAIRS - counts.pairs} more pairs, or "
        f"{good} more good and {bad} more bad answers are needed"
    )


def recipe_values(
    card: CheckpointCard, base: str, name: str, choice: Choice, data: str, counts: Counts
) -> dict[str, Any]:
    """The recipe's keys, as in its file: those of the checkpoint's recipe that still apply, and the
    choice's."""
    before = card.recipe
    values = {key: before[key] for key in KEPT if before.get(key) is not None}
    values |= {
        "name": name,
        "method": choice.method,
        "base": base,
        "data": [{"path": data}],
        "learning_rate": _learning_rate(before, choice.method),
        "report_to": [],
    }
    supervised = choice.method == "lora"
    values["epochs"] = before.get("epochs", 3) if supervised and before.get("method") in SUPERVISED else 3
    if before.get("quantize"):
        values["quantize"] = before["quantize"]
        values["method"] = "qlora" if supervised else choice.method
    if choice.method == "dpo":
        # Votes are noisy, and with DPO's loss alone the better answers become less likely (docs/improve.md).
        values["dpo"] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.2], "label_smoothing": 0.1}
    if choice.method == "kto":
        values["batch_size"] = max(2, min(int(values.get("batch_size", 16)), counts.good + counts.bad))
    return values


def _learning_rate(before: dict[str, Any], method: str) -> float:
    """The checkpoint's own learning rate, scaled where the turn's kind of training differs."""
    default = float(str(METHOD_DEFAULTS[method]["learning_rate"]))
    rate, trained_by = before.get("learning_rate"), before.get("method")
    if rate is None or trained_by not in METHOD_DEFAULTS or trained_by in ("pretrain", "full"):
        return default
    if (trained_by in SUPERVISED) == (method in SUPERVISED):
        return float(rate)
    return float(rate) * (PREFERENCE_RATE if trained_by in SUPERVISED else 1 / PREFERENCE_RATE)
