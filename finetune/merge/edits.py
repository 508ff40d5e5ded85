"""An adapter as edits of its base, parameter by parameter."""

import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from accelerate import init_empty_weights
from peft import get_peft_model
from peft.tuners.lora.layer import Embedding as LoraEmbedding
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.tuners.lora.variants import DoraLinearVariant
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from peft.utils.error import NoMatchingPeftModuleError
from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers

from common.errors import UserError
from finetune.merge.parameter_names import ParameterPart
from finetune.models.adapter_files import ADAPTER, AdapterFiles
from finetune.models.lora_targets import linear_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


MAGNITUDE = "lora_magnitude_vector"


class Edit(Protocol):
    """What an adapter does to one parameter."""

    def apply(self, weight: torch.Tensor, place: ParameterPart) -> torch.Tensor:
        """The edited weight. `weight` is in float32 and the part of the parameter that `place` names; it may
        be changed in place."""


@dataclass(frozen=True)
class LowRank:
    """LoRA: weight + B A * scaling (Hu et al. 2021, arXiv:2106.09685); `scaling` covers rsLoRA's square
    root."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float
    transposed: bool
    """Whether the weight is stored as (inputs, outputs) (`fan_in_fan_out`)."""

    def apply(self, weight: torch.Tensor, place: ParameterPart) -> torch.Tensor:
        delta = self.b @ self.a
        return weight.add_((delta.T if self.transposed else delta).mul_(self.scaling))


@dataclass(frozen=True)
class Decomposed:
    """DoRA (Liu et al. 2024, arXiv:2402.09353): the direction of the low-rank sum, times a magnitude that was
    trained for each output."""

    direction: LowRank
    lengths: torch.Tensor

    def apply(self, weight: torch.Tensor, place: ParameterPart) -> torch.Tensor:
        inputs = 0 if self.direction.transposed else 1
        weight = self.direction.apply(weight, place)
        factors = self.lengths / torch.linalg.vector_norm(weight, dim=inputs)
        return weight.mul_(factors.unsqueeze(inputs))


@dataclass(frozen=True)
class LowRankExperts:
    """LoRA for each expert of a fused tensor."""

    a: torch.Tensor
    """Shape (experts, rank, inputs)."""
    b: torch.Tensor
    """Shape (outputs, rank, experts)."""
    scaling: float
    transposed: bool

    def apply(self, weight: torch.Tensor, place: ParameterPart) -> torch.Tensor:
        if place.expert is not None:
            return weight.add_(self._delta(place.expert).chunk(place.parts)[place.part])
        for expert in range(len(self.a)):
            weight[expert] += self._delta(expert)
        return weight

    def _delta(self, expert: int) -> torch.Tensor:
        delta = (self.b[..., expert] @ self.a[expert]).mul_(self.scaling)
        return delta.T if self.transposed else delta


@dataclass(frozen=True)
class NewRows:
    """Rows of an embedding that training replaced, as those of new tokens."""

    rows: list[int]
    values: torch.Tensor

    def apply(self, weight: torch.Tensor, place: ParameterPart) -> torch.Tensor:
        weight[self.rows] = self.values.to(weight)
        return weight


def open_adapter(model: "PreTrainedModel", files: AdapterFiles, base: Path) -> dict[str, list[Edit]]:
    """Put the adapter on `model` (parameter_names.empty_model) by PEFT, and return parameter name -> its
    edits.

    base: the directory of `model`, for messages. Raises UserError for an adapter of another base.
    """
    tuned = _on_the_model(model, files, base)
    _fill(tuned, files, base)
    tuned.train(False)
    edits: dict[str, list[Edit]] = defaultdict(list)
    for name, module in model.named_modules():
        owner = name.removesuffix(".token_adapter")
        while owner.endswith(".base_layer"):
            owner = owner.removesuffix(".base_layer")
        if isinstance(module, ParamWrapper):
            edits[f"{owner}.{module.parameter_name}"].append(_parameter_edit(module))
        elif isinstance(module, LoraLayer):
            edits[f"{owner}.weight"].append(_linear_edit(module, owner))
        elif isinstance(module, TrainableTokensLayer):
            rows = list(module.token_indices[ADAPTER])
            edits[f"{owner}.weight"].append(NewRows(rows, module.trainable_tokens_delta[ADAPTER].data))
    return dict(edits)


def _on_the_model(model: "PreTrainedModel", files: AdapterFiles, base: Path) -> torch.nn.Module:
    """The model with a PEFT adapter that has no weights yet. Raises UserError where the base lacks its
    layers."""
    has = linear_layers(model)
    try:
        with warnings.catch_warnings(), init_empty_weights():
            warnings.simplefilter("ignore")  # about names; _fill refuses what does not match
            return get_peft_model(model, files.config, low_cpu_mem_usage=True)
    except Exception as error:  # other people's configurations may make PEFT raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, NoMatchingPeftModuleError):
            changed = dict.fromkeys(key.split(".lora_")[0].rpartition(".")[2] for key in files.changes)
            reason = f"it changes the layers {', '.join(changed)}, and this base has {', '.join(has)}"
        raise UserError(
            f"The adapter was not made for {base}: {reason}.",
            hint="--base names the model that it was trained on.",
        ) from error


def _fill(tuned: torch.nn.Module, files: AdapterFiles, base: Path) -> None:
    """Load the adapter's weights into its layers. Raises UserError unless files and layers match one to
    one."""
    stored = _as_named_today(tuned, files)
    filled: dict[str, torch.Tensor] = {}
    missing: list[str] = []
    other: list[str] = []
    for name, parameter in tuned.named_parameters():
        if f".{ADAPTER}" not in name:
            continue
        key = name.replace(f".{ADAPTER}", "", 1).replace(MAGNITUDE + ".weight", MAGNITUDE)
        value = stored.pop(key, None)
        if value is None:
            missing.append(key)
        elif value.shape != parameter.shape:
            other.append(f"{key} has the shape {list(value.shape)}, this base needs {list(parameter.shape)}")
        else:
            filled[name] = value
    if other:
        raise UserError(
            f"The adapter was not made for {base}: {_first(other)}.",
            hint="--base names the model that it was trained on.",
        )
    if stored:
        raise UserError(f"{files.path} holds {_first(list(stored))}, for which the base has no layer.")
    if missing:
        raise UserError(f"{files.path} has no {_first(missing)}, which the adapter's layers need.")
    tuned.load_state_dict(filled, strict=False, assign=True)


def _first(found: list[str]) -> str:
    return found[0] if len(found) == 1 else f"{found[0]} (and {len(found) - 1} more)"


def _as_named_today(tuned: torch.nn.Module, files: AdapterFiles) -> dict[str, torch.Tensor]:
    """The adapter's weights by the names of today's layers: transformers 5 fuses the experts, which adapters
    of older versions have one by one. PEFT converts them. Raises UserError where it cannot."""
    try:
        return dict(
            convert_peft_adapter_state_dict_for_transformers(tuned, files.config, files.changes, ADAPTER)
        )
    except Exception as error:  # its errors share no class
        reason = " ".join(str(error).split())
        raise UserError(f"{files.path} cannot be read as an adapter of this base: {reason}") from error


def _linear_edit(layer: Any, name: str) -> Edit:
    variant = layer.lora_variant.get(ADAPTER)
    if isinstance(layer, LoraEmbedding) and variant is None:
        a, b = layer.lora_embedding_A[ADAPTER].data, layer.lora_embedding_B[ADAPTER].data
        return LowRank(a, b, layer.scaling[ADAPTER], transposed=True)
    if not isinstance(layer, LoraLinear) or not isinstance(variant, DoraLinearVariant | None):
        raise UserError(f"The adapter's layer {name} is of a kind that cannot be merged: {type(layer)}.")
    a, b = _factors(layer)
    change = LowRank(a, b, layer.scaling[ADAPTER], layer.fan_in_fan_out)
    if variant is None:
        return change
    lengths: Any = layer.lora_magnitude_vector[ADAPTER]
    return Decomposed(change, lengths.weight.data)


def _parameter_edit(layer: Any) -> Edit:
    """The edit of a parameter without a layer of its own (fused experts, Mixtral's router), in PEFT's
    layout."""
    a, b = _factors(layer)
    experts, scaling = layer.num_experts, layer.scaling[ADAPTER]
    if experts == 1:
        return LowRank(a, b, scaling, transposed=False)
    return LowRankExperts(
        a.reshape(experts, -1, a.shape[-1]),
        b.reshape(b.shape[0], -1, experts),
        scaling,
        transposed=not layer._did_swap_in_out_features,
    )


def _factors(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return layer.lora_A[ADAPTER].weight.data, layer.lora_B[ADAPTER].weight.data
