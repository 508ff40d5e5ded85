"""Which number formats and which attention a device gets, with a reason that is shown to the user."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers.utils.import_utils import is_flash_attn_2_available

from finetune.recipes.keys import CommonKeys

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class Precision:
    """Number formats of a training run."""

    compute: torch.dtype
    """Number format of the arithmetic."""
    weights: torch.dtype
    """Number format of frozen weights in memory; trained weights are kept in float32 in any case."""
    reason: str


def choose_precision(recipe: CommonKeys) -> Precision:
    """float32 on a CPU; on a GPU bfloat16 where it supports that, else float16 with loss scaling."""
    if not torch.cuda.is_available():
        return Precision(
            torch.float32, torch.float32, "float32: there is no GPU, and CPUs are exact and fast in it"
        )
    name = torch.cuda.get_device_name()
    if torch.cuda.get_device_capability()[0] >= 8:
        compute, reason = torch.bfloat16, f"bfloat16: {name} computes in it, and it has float32's range"
    else:
        compute, reason = torch.float16, f"float16 with a scaled loss: {name} has no bfloat16"
    weights = compute if recipe.has_adapter else torch.float32
    if weights == torch.float32:
        reason += "; the weights stay in float32, small steps would vanish below"
    return Precision(compute, weights, reason)


def choose_attention(config: "PretrainedConfig", precision: Precision) -> str:
    """`flash_attention_2` where it is installed and both model and number format support it, else `sdpa`,
    torch's own, or `eager` for a model that supports neither."""
    from finetune.models.auto import auto_class

    # The model's class for a configuration, by the map that from_pretrained uses; no weights are loaded.
    model = auto_class(config)._model_mapping[type(config)]
    if (
        precision.compute != torch.float32
        and is_flash_attn_2_available()
        and getattr(model, "_supports_flash_attn", False)
    ):
        return "flash_attention_2"
    return "sdpa" if getattr(model, "_supports_sdpa", False) else "eager"
