"""What a checkpoint directory is, before an engine spends a minute on it."""

import json
import time
from pathlib import Path
from typing import Any

from common.checkpoint import read_card
from common.errors import UserError
from common.registry import ModelCard


def describe_model(directory: Path, name: str | None) -> ModelCard:
    """The card to register. Raises UserError when `directory` is not a whole checkpoint."""
    config = _read_config(directory)
    if not any(directory.glob("*.safetensors")):
        raise UserError(
            f"{directory} has no *.safetensors weights.",
            hint="Merge or download the checkpoint again; pickled weights are not loaded.",
        )
    card = read_card(directory)
    if card is None:
        return ModelCard(
            name=name or directory.resolve().name,
            context_length=config.get("max_position_embeddings"),
            dtype=config.get("dtype") or config.get("torch_dtype"),
            created=int(time.time()),
        )
    return ModelCard(
        name=name or card.name,
        base=card.base_model,
        method=card.method,
        licence=card.licence,
        template=card.template,
        template_hash=card.template_hash,
        context_length=card.context_length,
        dtype=card.dtype,
        parameters=card.parameters,
        created=card.created,
    )


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
