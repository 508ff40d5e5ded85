"""Which parameter of the model a tensor in a checkpoint file holds.

Files keep the names under which a model was published. transformers renames when it loads (GPT-NeoX's
`embed_out` is `lm_head` in the model) and fuses the experts of a layer into one tensor.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate import init_empty_weights
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    Concatenate,
    MergeModulelist,
    WeightConverter,
    WeightRenaming,
    rename_source_key,
)

from common.errors import UserError
from finetune.models.auto import auto_class, making_model

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class ParameterPart:
    """The part of a parameter that one tensor in a file holds: all of it, or a part of one expert."""

    parameter: str
    expert: int | None = None
    part: int = 0
    """Index of the part, 0 to `parts` - 1, along the expert's rows."""
    parts: int = 1

    def of(self, parameter: torch.Tensor) -> torch.Tensor:
        """The view of the whole `parameter` that corresponds to the file's tensor."""
        if self.expert is None:
            return parameter
        return parameter[self.expert].chunk(self.parts)[self.part]


def empty_model(config: "PretrainedConfig") -> "PreTrainedModel":
    """The model of `config` without storage for its weights (`meta` device); its buffers are real. Raises
    UserError where it describes none."""
    with making_model(config), init_empty_weights(include_buffers=False):
        model: PreTrainedModel = auto_class(config).from_config(config, dtype=torch.float32)
    model.tie_weights()
    model.train(False)
    return model


def places(model: "PreTrainedModel", keys: Iterable[str]) -> dict[str, ParameterPart]:
    """Tensor name -> the part of a parameter of `model` that it holds. Tensors without one (old files hold
    rotary tables and masks) are left out. Raises UserError when a tensor is not a plain part of a
    parameter."""
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    known = model.state_dict()
    found = {}
    for key in keys:
        parameter, pattern = rename_source_key(key, renamings, converters, model.base_model_prefix, known)
        if parameter not in known:
            continue
        if pattern is None:
            found[key] = ParameterPart(parameter)
            continue
        converter = next(rule for rule in converters if pattern in rule.source_patterns)
        expert = re.search(re.escape(pattern).replace(r"\*", r"(\d+)"), key)
        kinds = {type(operation) for operation in converter.operations}
        if expert is None or not expert.groups() or not kinds <= {MergeModulelist, Concatenate}:
            raise UserError(f"{key} is stored in a form that the merge does not know.")
        sources = converter.source_patterns
        found[key] = ParameterPart(parameter, int(expert[1]), sources.index(pattern), len(sources))
    return found
