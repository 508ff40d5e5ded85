"""What all stages of a training run share."""

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
    """A run whose model is loaded."""

    recipe: Recipe
    template: TemplateChoice
    tokenizer: "PreTrainedTokenizerBase"
    """The tokenizer with its chat template and, where that is a model's own, its settings (own_settings)."""
    model: "PreTrainedModel"
    precision: Precision
    state: RunState
    report: Report
