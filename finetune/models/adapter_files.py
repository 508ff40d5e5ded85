"""An adapter in PEFT's files, whoever trained it: its `adapter_config.json` and its weights.

Trainers leave traces in the names of tensors (FSDP's and torch.compile's wrappers, the adapter's name), and
other people's configurations may hold anything, so that only settings known here are accepted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file

from common.errors import UserError
from finetune.models.adapter import CONFIG, WEIGHTS, require_safetensors

PREFIX = "base_model.model."
"""PEFT's prefix for the names of the wrapped model."""
ADAPTER = "default"
"""PEFT's default name for an adapter."""
_MERGED = (
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "fan_in_fan_out"),
    *("target_modules", "target_parameters", "exclude_modules", "layers_to_transform", "layers_pattern"),
    *("modules_to_save", "trainable_token_indices", "ensure_weight_tying"),
)
"""Settings that decide what the adapter does to the base, and that the merge follows."""
_TRAINING = (
    *("peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision"),
    *("inference_mode", "lora_dropout", "init_lora_weights", "loftq_config", "eva_config", "runtime_config"),
    *("bias", "megatron_core", "qalora_group_size"),
)
"""Settings that matter in training alone, or are checked elsewhere in this file."""
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Initialisations (`init_lora_weights`) that leave the base's weights unchanged."""
_WRAPPERS = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "module")
"""What FSDP, activation checkpointing, torch.compile and DDP insert into names."""
_INSIDE = ("modules_to_save", "token_adapter", "base_layer", "original_module")
"""PEFT's names for the wrappers of a parameter that was trained whole; the first one found is used."""
_CHANGES = (".lora_", ".trainable_tokens_")


@dataclass(frozen=True)
class AdapterFiles:
    """The content of an adapter directory."""

    path: Path
    """The file of the weights."""
    config: LoraConfig
    """PEFT's configuration, without `modules_to_save`: those parameters are in `whole`."""
    saved: tuple[str, ...]
    """`modules_to_save`: names of modules that were trained whole."""
    base: str
    """Path or hub id of the base when the adapter was trained; '' where the adapter does not say."""
    changes: dict[str, torch.Tensor]
    """Weights that PEFT adds to layers, in float32, by PEFT's names."""
    whole: dict[str, torch.Tensor]
    """Parameters that replace the base's, by their names in the model."""


def read_adapter_files(directory: Path) -> AdapterFiles:
    """Read an adapter directory. Raises UserError for an adapter that is not LoRA, is broken, or does more
    than can be merged."""
    require_safetensors(directory)
    values = _read_config(directory)
    saved = values.get("modules_to_save") or ()
    path = directory / WEIGHTS
    changes, whole = _sorted_out(_read_weights(path), path)
    return AdapterFiles(
        path=path,
        config=_lora_config(values, directory),
        saved=tuple(saved) if isinstance(saved, list) else (),
        base=str(values.get("base_model_name_or_path") or ""),
        changes=changes,
        whole=whole,
    )


def _read_config(directory: Path) -> dict[str, object]:
    path = directory / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
        kind = values["peft_type"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path} is not PEFT's description of an adapter: {error}") from error
    if kind != "LORA":
        raise UserError(f"{directory} is an adapter of kind {kind}; only LoRA can be merged.")
    if values.get("task_type") not in (None, "CAUSAL_LM"):
        raise UserError(f"{directory} is an adapter for {values['task_type']}, not for a chat model.")
    known = LoraConfig()
    used = [
        name
        for name, value in values.items()
        if value and name not in (*_MERGED, *_TRAINING) and value != getattr(known, name, None)
    ]
    if values.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise UserError(
            f"The adapter uses {', '.join(used)}, which `kodolly merge lora` cannot merge.",
            hint="Adapters that `kodolly train` writes use none of it.",
        )
    _refuse_changed_base(values.get("init_lora_weights", True))
    return dict(values)


def _refuse_changed_base(start: object) -> None:
    if start not in _STARTS:
        raise UserError(
            f"The adapter began with {start} (init_lora_weights), which changes the base's own weights: "
            "merged into the published base, it gives another model.",
            hint="Let its trainer convert it to a plain LoRA adapter (PEFT: save_pretrained with "
            "path_initial_model_for_weight_conversion).",
        )


def _lora_config(values: Mapping[str, Any], directory: Path) -> LoraConfig:
    taken = {name: values[name] for name in _MERGED if values.get(name) is not None}
    saved = taken.pop("modules_to_save", None)
    try:
        excluded = _excluded(taken.pop("exclude_modules", None), saved)
        return LoraConfig(**taken, exclude_modules=excluded, inference_mode=True)
    except (ValueError, TypeError) as error:
        raise UserError(f"{directory / CONFIG} is not PEFT's description of an adapter: {error}") from error


def _excluded(excluded: list[str] | str | None, saved: list[str] | None) -> list[str] | str | None:
    """`exclude_modules` with the modules that were trained whole: PEFT never puts LoRA into those."""
    if not saved:
        return excluded
    patterns = [rf"(?:.*\.)?(?:{module})(?:\..*)?" for module in saved]
    if isinstance(excluded, str):
        patterns.append(excluded)
    else:
        patterns += [rf"(?:.*\.)?{module}" for module in excluded or ()]
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor in float32. Raises UserError."""
    try:
        stored = load_file(path)
    except Exception as error:  # safetensors raises a class of its own from Rust for broken files
        raise UserError(f"{path} cannot be read: {error}.", hint="Train the adapter again.") from error
    for name, tensor in stored.items():
        if not tensor.is_floating_point():
            raise UserError(f"{path}: {name} holds {tensor.dtype}, no weights.")
        if not tensor.float().isfinite().all():
            raise UserError(f"{path}: {name} holds numbers that are not finite (NaN or infinity).")
    return {name: tensor.float() for name, tensor in stored.items()}


def _sorted_out(
    stored: Mapping[str, torch.Tensor], path: Path
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    changes: dict[str, torch.Tensor] = {}
    found: dict[str, tuple[int, torch.Tensor]] = {}
    for name, tensor in stored.items():
        plain = _plain(name)
        if any(mark in plain for mark in _CHANGES):
            if plain in changes:
                raise UserError(f"{path} holds {plain} twice.")
            changes[plain] = tensor
            continue
        rank = min((_INSIDE.index(part) for part in plain.split(".") if part in _INSIDE), default=0)
        parameter = ".".join(part for part in plain.split(".") if part not in _INSIDE)
        parameter = parameter.removeprefix(PREFIX)
        if parameter not in found or rank < found[parameter][0]:
            found[parameter] = (rank, tensor)
    return changes, {name: tensor for name, (_rank, tensor) in found.items()}


def _plain(name: str) -> str:
    """The tensor's name without what trainers added: the one that PEFT writes."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS and part != ADAPTER]
    plain = ".".join(parts)
    return plain.removesuffix(".weight") if plain.endswith(".lora_magnitude_vector.weight") else plain
