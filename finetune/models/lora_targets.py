"""Whether the base has the layers that `lora.targets` names. Its configuration tells; no weights are
loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers.pytorch_utils import Conv1D

from common.errors import UserError
from finetune.models.auto import described_model, weightless_model
from finetune.models.load import add_adapter
from finetune.recipes.sections import Lora

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


_LINEAR = (torch.nn.Linear, Conv1D)


def check_targets(base: Path, lora: Lora) -> None:
    """Raises UserError for a target that is no layer of the base, or a layer that takes no adapter.

    PEFT refuses only a list without any match: with a misspelt name among right ones, less would be trained
    unnoticed.
    """
    if lora.targets == "all-linear":
        return
    model = described_model(base)
    if model is None:
        return
    if not lora.targets:
        raise UserError("lora.targets names no layer.", hint=_has(model))
    modules = dict(model.named_modules())
    missing: list[str] = []
    unfit: list[str] = []
    for target in lora.targets:
        found = [module for name, module in modules.items() if f".{name}".endswith(f".{target}")]
        if found and all(isinstance(module, _LINEAR) for module in found):
            continue
        if not _takes_adapter(model.config, lora, target):
            (unfit if found else missing).append(target)
    if missing:
        raise UserError(f"The base has no layer {', '.join(missing)}.", hint=_has(model))
    if unfit:
        raise UserError(f"{', '.join(unfit)} of the base cannot carry an adapter.", hint=_has(model))


def _takes_adapter(config: "PretrainedConfig", lora: Lora, target: str) -> bool:
    """Whether PEFT finds a layer for `target`. It is tried, as PEFT also adapts embeddings and knows the old
    names of layers that are fused today."""
    model = weightless_model(config)
    try:
        with torch.device("meta"):
            add_adapter(model, lora.model_copy(update={"targets": (target,)}))
    except ValueError:
        return False
    return True


def linear_layers(model: "PreTrainedModel") -> list[str]:
    """The last parts of the names of all linear layers, without the output embedding, in the model's
    order."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    layers = [
        name for name, module in model.named_modules() if isinstance(module, _LINEAR) and module is not head
    ]
    return list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in layers))


def _has(model: "PreTrainedModel") -> str:
    return f"It has {', '.join(linear_layers(model))} (or all-linear)."
