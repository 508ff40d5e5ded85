"""What an adapter does to its base, parameter by parameter."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from safetensors.torch import load_file

from common.errors import UserError
from finetune.merge_names import Place
from finetune.model import no_word_about_experts

ADAPTER = "default"
"""PEFT's name for the only adapter of a model."""
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
UNKNOWN = ("use_dora", "lora_bias", "modules_to_save", "layer_replication", "megatron_config", "use_qalora")
"""Settings of PEFT that change a model in ways that are not merged here."""


class Edit(Protocol):
    """A change to one parameter."""

    def apply(self, weight: torch.Tensor, place: Place) -> torch.Tensor:
        """`weight`, in float32, is what `place` says of the parameter; it may be changed in place."""


@dataclass(frozen=True)
class LowRank:
    """weight + B A * scaling (Hu et al. 2021, arXiv:2106.09685); rsLoRA's root is in `scaling`."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float
    transposed: bool
    """Whether the weight has inputs for rows (`fan_in_fan_out`)."""

    def apply(self, weight: torch.Tensor, place: Place) -> torch.Tensor:
        delta = self.b @ self.a
        return weight.add_((delta.T if self.transposed else delta).mul_(self.scaling))


@dataclass(frozen=True)
class LowRankExperts:
    """One low-rank change for each expert of a fused tensor."""

    a: torch.Tensor
    """(experts, rank, inputs)."""
    b: torch.Tensor
    """(outputs, rank, experts)."""
    scaling: float
    transposed: bool

    def apply(self, weight: torch.Tensor, place: Place) -> torch.Tensor:
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
    """Rows of an embedding that training replaced: those of new tokens."""

    rows: list[int]
    values: torch.Tensor

    def apply(self, weight: torch.Tensor, place: Place) -> torch.Tensor:
        weight[self.rows] = self.values.to(weight)
        return weight


def open_adapter(model: Any, directory: Path) -> dict[str, list[Edit]]:
    """Put the adapter in `directory` on `model` (merge_names.empty_model), as PEFT understands it, and
    return what it does to each parameter of the model.

    Raises UserError for an adapter that does more than the merge knows how to do.
    """
    config = _read_config(directory)
    config.inference_mode = True
    with init_empty_weights(), no_word_about_experts():
        tuned = get_peft_model(model, config, low_cpu_mem_usage=True)
    _fill(tuned, directory / WEIGHTS)
    tuned.eval()
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


def _read_config(directory: Path) -> Any:
    try:
        kind = json.loads((directory / CONFIG).read_text(encoding="utf-8"))["peft_type"]
        if kind != "LORA":
            raise UserError(f"{directory} is an adapter of kind {kind}; only LoRA can be merged.")
        config = LoraConfig.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{directory / CONFIG} is not PEFT's description of an adapter: {error}") from error
    used = [name for name in UNKNOWN if getattr(config, name, None)]
    if config.bias != "none":
        used.append("bias")
    if used:
        raise UserError(
            f"The adapter uses {', '.join(used)}, which `kodolly merge lora` cannot merge.",
            hint="Adapters that `kodolly train` writes use none of it.",
        )
    return config


def _fill(tuned: Any, path: Path) -> None:
    """Give the adapter's layers their weights. Raises UserError unless files and layers match one to one."""
    try:
        stored = load_file(path)
    except Exception as error:  # the library has an error class of its own for broken files, in Rust
        raise UserError(f"{path} cannot be read: {error}.", hint="Train the adapter again.") from error
    filled: dict[str, torch.Tensor] = {}
    for name, parameter in tuned.named_parameters():
        if f".{ADAPTER}" not in name:
            continue
        key = name.replace(f".{ADAPTER}", "", 1)
        if key not in stored:
            raise UserError(f"{path} has no {key}, which the adapter's layers need.")
        value = stored.pop(key)
        if value.shape != parameter.shape:
            raise UserError(f"{path}: {key} has shape {list(value.shape)}, not {list(parameter.shape)}.")
        filled[name] = value.float()
    if stored:
        raise UserError(f"{path} holds {next(iter(stored))}, for which the base has no layer.")
    tuned.load_state_dict(filled, strict=False, assign=True)


def _linear_edit(layer: Any, name: str) -> Edit:
    if not isinstance(layer, LoraLinear) or layer.lora_variant:
        raise UserError(f"The adapter's layer {name} is of a kind that cannot be merged: {type(layer)}.")
    a, b = _factors(layer)
    return LowRank(a, b, layer.scaling[ADAPTER], layer.fan_in_fan_out)


def _parameter_edit(layer: Any) -> Edit:
    """The layout is PEFT's for parameters without a layer of their own: fused experts, Mixtral's router."""
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
