"""What every stage of a training run works with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.models.precision import Precision
from finetune.progress import Report
from finetune.recipes.recipe import Recipe
from finetune.recipes.template_choice import TemplateChoice
from finetune.train.run_state import RunState

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class TrainingSession:
    """A run from the moment its model is loaded."""

    recipe: Recipe
    template: TemplateChoice
    tokenizer: "PreTrainedTokenizerBase"
    """With the template, and how it is rendered where it is a model's own (own_settings)."""
    model: "PreTrainedModel"
    precision: Precision
    state: RunState
    report: Report
