"""`kodolly export fp8`: weights in 8 bits as vLLM reads them, written tensor by tensor.

The format is compressed-tensors' `float-quantized` (the scheme that llm-compressor calls FP8_DYNAMIC): each
linear layer's weight as float8 e4m3 with one scale an output, and inputs rounded by the engine as they come,
one scale a token. It needs no data.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from common.checkpoint import CARD_FILE
from common.errors import UserError
from finetune.export.files import write_files
from finetune.export.likeness import Likeness, prove
from finetune.export.source import ExportSource, open_source, require_numbers
from finetune.files.hashes import file_hash
from finetune.files.whole import whole_directory
from finetune.merge.parameter_names import empty_model
from finetune.merge.safetensors_io import Planned, file_order, read_tensor, shard_names, stored_tensors
from finetune.merge.shards import require_room_for, write_shards
from finetune.merge.streamed_model import CheckpointWeights, open_weights
from finetune.models.checkpoint import write_card
from finetune.models.load import text_part
from finetune.models.quiet import hide_library_bars
from finetune.progress import Report

if TYPE_CHECKING:
    from transformers import PreTrainedModel


FLOAT8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FLOAT8).max
SCALE = "_scale"
"""Behind a weight's name: its scales, (outputs, 1) in float32."""
SERVED = (
    "exaone4",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "gemma4_unified",
    "glm4",
    "gpt_neox",
    "granite",
    "hyperclovax",
    "llama",
    "ministral3",
    "mistral",
    "mistral3",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
)
"""Model types whose export vLLM is known to load and answer with (tests/support/export_matrix.py)."""


def export_fp8(checkpoint: Path, output: Path, report: Report) -> Likeness:
    """Write `output`, the complete checkpoint in 8 bits, and return how alike it is to `checkpoint`.

    Memory holds one tensor or one layer at a time. A run that was killed goes on after its last whole shard.
    Raises UserError when vLLM would not serve the result, or it would not be the same model.
    """
    hide_library_bars()
    source = open_source(checkpoint)
    _require_served(source)
    model = empty_model(source.config)
    weights = open_weights(checkpoint, model)
    plan = _plan(source, model, weights)
    stage = f"{source.card.name}: to fp8"
    with whole_directory(output, _mark(checkpoint)) as directory:
        require_room_for(directory, plan.shards)
        write_shards(directory, plan.shards, lambda each: _made(each, plan, weights), stage, report)
        write_files(directory, checkpoint, _quantization(plan.left))
        rounded = empty_model(source.config)
        _round_inputs(rounded)
        likeness = prove(source, model, weights, rounded, _open_rounded(directory, rounded), report)
        write_card(directory, source.card_of("fp8", "float8_e4m3fn", likeness.metrics()))
    return likeness


def _require_served(source: ExportSource) -> None:
    kind = source.config.model_type
    if kind not in SERVED:
        raise UserError(
            f"An fp8 export of {kind} has not been seen working in vLLM, so none is written.",
            hint=f"It is known of {', '.join(SERVED)}.",
        )


def _mark(checkpoint: Path) -> str:
    """Changes with everything that decides the shards."""
    digest = hashlib.sha256(file_hash(checkpoint / CARD_FILE).encode())
    for name in shard_names(checkpoint):
        digest.update(file_hash(checkpoint / name).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Plan:
    shards: Mapping[str, list[Planned]]
    rounded: frozenset[str]
    """Tensors that become 8 bits, by their names in the files."""
    left: list[str]
    """Layers that stay as they are, by their names in the files or, after `re:`, by patterns."""


def _plan(source: ExportSource, model: "PreTrainedModel", weights: CheckpointWeights) -> _Plan:
    where = {key: place for tensors in weights.places.values() for key, place in tensors}
    layers = _rounded_layers(model)
    shards, rounded, left = {}, set(), []
    for name in shard_names(source.directory):
        planned = []
        for key, stored in stored_tensors(source.directory / name).items():
            place = where.get(key)
            if place is not None and place.parameter in layers and len(stored.shape) == 2:
                rounded.add(key)
                planned.append(Planned(key, FLOAT8, stored.shape))
                planned.append(Planned(key + SCALE, torch.float32, (stored.shape[0], 1)))
                continue
            planned.append(Planned(key, stored.dtype, stored.shape))
            if key.endswith(".weight") and len(stored.shape) == 2:
                left.append(key.removesuffix(".weight"))
        shards[name] = file_order(planned)
    return _Plan(shards, frozenset(rounded), [*left, *_other_parts(model)])


def _rounded_layers(model: "PreTrainedModel") -> dict[str, nn.Linear]:
    """Weight -> the linear layer that it belongs to, of all that read text. The output embedding is left: it
    decides every token, and vLLM does not expect it rounded. What reads images or sound is left, too."""
    head, text = model.get_output_embeddings(), text_part(model)  # type: ignore[no-untyped-call]
    return {
        f"{name}.weight": layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head and name.startswith(text)
    }


def _other_parts(model: "PreTrainedModel") -> list[str]:
    """Patterns for the output embedding and all that is beside the part for text, in models that have more:
    vLLM's names of such layers have more levels than those in the files."""
    above, _, text = text_part(model).rpartition(".")
    if not text:
        return []
    beside = [
        name for name, _ in model.get_submodule(above).named_children() if name not in (text, "lm_head")
    ]
    return [r"re:(.*\.)?lm_head", *(rf"re:(.*\.)?{name}\..*" for name in beside)]


def _made(planned: Planned, plan: _Plan, weights: CheckpointWeights) -> torch.Tensor:
    key = planned.key.removesuffix(SCALE)
    if key not in plan.rounded:
        return read_tensor(weights.stored[planned.key])
    weight = read_tensor(weights.stored[key]).float()
    scales = scales_of(weight)
    require_numbers(key, scales)
    return scales if planned.key != key else (weight / scales).to(FLOAT8)


def scales_of(rows: torch.Tensor) -> torch.Tensor:
    """One scale a row, (..., 1), with which the row's largest number becomes float8's largest."""
    largest = rows.abs().amax(-1, keepdim=True).float()
    return (largest / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)


def _quantization(left: list[str]) -> dict[str, object]:
    """compressed-tensors' `QuantizationConfig`; left: layers that are not rounded."""
    number = {"num_bits": 8, "type": "float", "symmetric": True}
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": number | {"strategy": "channel", "dynamic": False},
                "input_activations": number | {"strategy": "token", "dynamic": True},
            }
        },
        "ignore": ["lm_head", *left],
    }


def _round_inputs(model: "PreTrainedModel") -> None:
    """Have linear layers see what an engine lets them see: each token's input in 8 bits."""

    def rounded(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        scales = scales_of(inputs[0])
        return ((inputs[0] / scales).to(FLOAT8).float() * scales, *inputs[1:])

    for layer in _rounded_layers(model).values():
        layer.register_forward_pre_hook(rounded)


@dataclass(frozen=True)
class _RoundedWeights(CheckpointWeights):
    """Of an fp8 checkpoint: what its numbers stand for."""

    def read(self, key: str) -> torch.Tensor:
        tensor = super().read(key)
        scales = self.stored.get(key + SCALE)
        return tensor if scales is None else tensor.float() * read_tensor(scales)


def _open_rounded(directory: Path, model: "PreTrainedModel") -> CheckpointWeights:
    found = open_weights(directory, model)
    return _RoundedWeights(found.stored, found.places)
