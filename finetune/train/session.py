"""What every stage of a training run works with."""

from dataclasses import dataclass
from typing import Any

from finetune.models.precision import Precision
from finetune.progress import Report
from finetune.recipes.recipe import Recipe
from finetune.train.run_state import RunState


@dataclass(frozen=True)
class Session:
    """A run from the moment its model is loaded."""

    recipe: Recipe
    tokenizer: Any
    model: Any
    precision: Precision
    state: RunState
    report: Report
