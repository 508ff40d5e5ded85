"""LoRA adapters that an engine serves beside its checkpoint, checked before it starts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.checkpoint import CheckpointCard, read_card
from common.checkpoint_identity import ADAPTER_CARD_FILE, checkpoint_id
from common.errors import UserError
from common.registry import ModelCard
from worker.model_dir import is_whole

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM 0.32 takes as --max-lora-rank."""
MAX_AT_ONCE = 8
"""More adapters than this in one batch cost more memory than most have; `-- --max-loras N` says otherwise."""
UNSUPPORTED = {
    "use_dora": "DoRA",
    "lora_bias": "a bias in LoRA layers",
    "use_qalora": "QALoRA",
    "layer_replication": "layer replication",
    "alora_invocation_tokens": "activated LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "modules_to_save": "whole modules beside the LoRA layers (modules_to_save)",
    "trainable_token_indices": "trained token embeddings",
}
"""Fields of a PEFT adapter's configuration that vLLM 0.32 refuses or ignores when they are set."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter and the name it is served under."""

    name: str
    directory: Path
    rank: int
    card: ModelCard


def read_adapters(given: Sequence[str], base: ModelCard, base_dir: Path) -> list[Adapter]:
    """The adapters of `NAME=DIR` words. Raises UserError for one that the engine could not serve."""
    adapters = []
    for word in given:
        name, equals, directory = word.partition("=")
        if not (name and equals and directory):
            raise UserError(f"--adapter {word} is not NAME=DIR.")
        adapter = _read(name, Path(directory), base, read_card(base_dir))
        adapters.append(replace(adapter, card=_identified(adapter, base_dir)))
    return adapters


def _identified(adapter: Adapter, base_dir: Path) -> ModelCard:
    try:
        identity = checkpoint_id(base_dir, adapter.directory)
    except OSError as error:
        raise UserError(f"{adapter.directory} cannot be read: {error.strerror}.") from error
    return adapter.card.model_copy(update={"checkpoint": identity})


def _read(name: str, directory: Path, base: ModelCard, base_card: CheckpointCard | None) -> Adapter:
    config = _read_config(directory)
    _check_supported(directory, config)
    if not is_whole(directory / WEIGHTS_FILE):
        raise UserError(
            f"{directory / WEIGHTS_FILE} is missing or cut short.", hint="Copy or train the adapter again."
        )
    trained = _trained_card(directory)
    if trained is not None and base_card is not None and trained.base_model not in (None, base_card.name):
        raise UserError(
            f"The adapter {directory} was trained on {trained.base_model}, not on {base_card.name}.",
            hint="Serve it beside its own base.",
        )
    try:
        card = base.model_copy(update={"name": name, "base": base.name, "adapter": name, "method": "lora"})
        if trained is not None:
            card = card.model_copy(
                update={
                    "method": trained.method,
                    "licence": trained.licence,
                    "template": trained.template,
                    "template_hash": trained.template_hash,
                    "created": trained.created,
                }
            )
        return Adapter(name, directory, _rank(directory, config), ModelCard.model_validate(card.model_dump()))
    except ValidationError as error:
        raise UserError(
            f"The name {name[:50]!r} cannot be registered: {error.errors()[0]['msg']}."
        ) from error


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{directory} is not a LoRA adapter: it has no {CONFIG_FILE}.",
            hint="`kodolly train` with method lora writes one.",
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UserError(f"{directory} is not a LoRA adapter.", hint="Merge other kinds into a checkpoint.")
    return config


def _check_supported(directory: Path, config: dict[str, Any]) -> None:
    used = [what for field, what in UNSUPPORTED.items() if config.get(field)]
    if config.get("bias", "none") != "none":
        used.append("trained biases")
    if used:
        raise UserError(
            f"The adapter {directory} has {used[0]}, which vLLM does not serve.",
            hint="Merge it and serve the checkpoint: `kodolly merge`.",
        )


def _rank(directory: Path, config: dict[str, Any]) -> int:
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and 0 < rank <= RANKS[-1] for rank in ranks):
        raise UserError(
            f"The adapter {directory} has a rank that vLLM does not serve; it takes 1 to {RANKS[-1]}.",
            hint="Merge it and serve the checkpoint: `kodolly merge`.",
        )
    return max(int(rank) for rank in ranks)


def _trained_card(directory: Path) -> CheckpointCard | None:
    """What the adapter says about itself, if it is one of ours."""
    if (card := read_card(directory)) is not None:
        return card
    path = directory / ADAPTER_CARD_FILE
    try:
        return CheckpointCard.model_validate(json.loads(path.read_text(encoding="utf-8"))["card"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", hint="Train the adapter again.") from error


def adapter_flags(adapters: Sequence[Adapter]) -> list[str]:
    """vLLM's flags for `adapters`; [] for none."""
    if not adapters:
        return []
    rank = max(adapter.rank for adapter in adapters)
    modules = [json.dumps({"name": a.name, "path": str(a.directory)}, ensure_ascii=False) for a in adapters]
    return [
        "--enable-lora",
        *("--max-lora-rank", str(min(known for known in RANKS if known >= rank))),
        *("--max-loras", str(min(len(adapters), MAX_AT_ONCE))),
        *("--lora-modules", *modules),
    ]
