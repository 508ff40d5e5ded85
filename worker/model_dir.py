"""What a checkpoint directory holds, found out before an engine spends a minute on it."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.checkpoint import read_card
from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.model_kind import kind_of
from common.model_name import fault_of_name
from common.registry import ModelCard
from worker.flags import has_flag, value_of

MAX_HEADER_BYTES = 100_000_000
"""The limit that the safetensors library itself sets."""


def describe_model(
    directory: Path, names: Sequence[str] = (), vllm_args: Sequence[str] = ()
) -> list[ModelCard]:
    """The cards to register, one a name; without names, the checkpoint's own.

    `vllm_args` may turn a model that writes into one that gives vectors or labels.
    Raises UserError when `directory` is not a whole checkpoint, or a name is none.
    """
    _check_names(names)
    config = _read_config(directory)
    _check_weights(directory)
    try:
        identity = checkpoint_id(directory)
        runner, convert = (value_of(vllm_args, (flag,)) for flag in ("--runner", "--convert"))
        kind = kind_of(config, runner, convert)
        if runner is None and (own := read_card(directory)) is not None and own.kind == "embedding":
            kind = "embedding"
        images = takes_images(directory, config, vllm_args)
        cards = [_model_card(directory, config, name, identity) for name in names or (None,)]
        return [card.model_copy(update={"kind": kind, "images": images}) for card in cards]
    except OSError as error:
        raise UserError(f"{directory} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"The model cannot be registered: {first['loc'][0]}: {first['msg']}.",
            hint="Choose another --name.",
        ) from error


def takes_images(directory: Path, config: Mapping[str, Any], vllm_args: Sequence[str]) -> bool:
    """Whether vLLM takes images beside text for a checkpoint: it has a part that sees and the file that tells
    how an image is brought into its form, and no flag keeps vLLM from using them."""
    sees = any(isinstance(config.get(name), dict) for name in ("vision_config", "vision_tower_config"))
    told = ("preprocessor_config.json", "processor_config.json")
    prepared = any((directory / name).is_file() for name in told)
    if has_flag(vllm_args, "--language-model-only"):
        return False
    try:
        limits = json.loads(value_of(vllm_args, ("--limit-mm-per-prompt",)) or "{}")
    except ValueError:
        limits = {}
    return sees and prepared and (limits.get("image") if isinstance(limits, dict) else None) != 0


def named_cards(names: Sequence[str]) -> list[ModelCard]:
    """Cards of models of which nothing but the names is known. Raises UserError."""
    _check_names(names)
    cards = [ModelCard(name=name) for name in names]
    refuse_double_names(cards)
    return cards


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if (fault := fault_of_name(name)) is not None:
            raise UserError(f"{name!r} cannot be a model's name: {fault}.")


def refuse_double_names(cards: Sequence[ModelCard]) -> None:
    """Raises UserError when two cards have one name."""
    names = [card.name for card in cards]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"The name {double!r} is given twice.", hint="Each model and adapter needs its own.")


def _model_card(directory: Path, config: dict[str, Any], name: str | None, identity: str) -> ModelCard:
    card = read_card(directory)
    if card is None:
        length, dtype = (
            config.get("max_position_embeddings"),
            config.get("dtype") or config.get("torch_dtype"),
        )
        return ModelCard(
            name=name or directory.resolve().name,
            context_length=length if isinstance(length, int) else None,
            dtype=dtype if isinstance(dtype, str) else None,
            created=int(time.time()),
            checkpoint=identity,
        )
    return ModelCard(
        name=name or card.name,
        base=card.base_model,
        method=card.method,
        licence=card.licence,
        template=card.template or None,
        template_hash=card.template_hash or None,
        context_length=card.context_length,
        dtype=card.dtype,
        parameters=card.parameters,
        created=card.created,
        checkpoint=identity,
    )


def _check_weights(directory: Path) -> None:
    """Raises UserError when weights are missing or cut short, as a killed copy or download leaves them."""
    hint = "Merge or download the checkpoint again."
    shards = set(directory.glob("*.safetensors"))
    index = directory / "model.safetensors.index.json"
    try:
        if index.exists():
            names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
            shards |= {directory / str(shard) for shard in names}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{index} cannot be read: {error!r}.", hint=hint) from error
    if not shards:
        raise UserError(
            f"{directory} has no *.safetensors weights.", hint=f"{hint} Pickled weights are not loaded."
        )
    for shard in sorted(shards):
        if not shard.exists():
            raise UserError(f"{directory} is half a checkpoint: {shard.name} is missing.", hint=hint)
        if not is_whole(shard):
            raise UserError(f"{shard} is cut short or is no safetensors file.", hint=hint)


def is_whole(path: Path) -> bool:
    """Whether the file is as long as its header says (https://github.com/huggingface/safetensors#format)."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= MAX_HEADER_BYTES:
                return False
            header = json.loads(file.read(length))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        return path.stat().st_size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False


def _read_config(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise UserError(f"The checkpoint directory {directory} does not exist.")
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "An adapter must be merged first: `kodolly merge`."
        if not (directory / "adapter_config.json").exists():
            hint = "Name the directory that holds config.json and the weights."
        raise UserError(f"{directory} is not a checkpoint: it has no config.json.", hint=hint) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{directory / 'config.json'} cannot be read: {error}.") from error
    if not isinstance(config, dict):
        raise UserError(f"{directory / 'config.json'} does not hold an object.")
    return config
