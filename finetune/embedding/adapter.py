"""LoRA on a model of vectors: trained in the place of the base's weights, and merged into them at the end."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from peft import PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

from finetune.models.load import lora_config

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    from finetune.recipes.sections import Lora

STATE_FILE = "adapter_state.safetensors"
"""The adapter's weights in a training state, which needs no other: the base's do not change."""


def add_adapter(model: "SentenceTransformer", lora: "Lora", seed: int) -> PeftModel:
    """A new adapter in the layers of `model`, whose own weights no longer learn; its first weights are drawn
    by `seed`. `merge_and_unload` of what is returned takes it out again."""
    torch.manual_seed(seed)
    body = cast("Transformer", model[0]).auto_model
    config = lora_config(body, lora)
    config.task_type = TaskType.FEATURE_EXTRACTION
    for part in model:
        part.requires_grad_(False)
    return cast(PeftModel, get_peft_model(body, config))


def trained_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """By name, those that learn."""
    return {name: weight.data for name, weight in model.named_parameters() if weight.requires_grad}


def save_adapter(model: torch.nn.Module, directory: Path) -> None:
    """Into a training state."""
    weights = {name: weight.contiguous() for name, weight in trained_weights(model).items()}
    save_file(weights, directory / STATE_FILE)


def load_adapter(model: torch.nn.Module, directory: Path) -> None:
    """Out of a training state of the same recipe."""
    saved, learning = load_file(directory / STATE_FILE), trained_weights(model)
    if saved.keys() != learning.keys():
        raise ValueError(f"{directory} holds another adapter")
    for name, weight in learning.items():
        weight.copy_(saved[name])
