"""The card of an adapter directory, which lets it be merged only into the right base."""

import json
from pathlib import Path

from pydantic import BaseModel, ValidationError

from common.checkpoint import CheckpointCard
from common.errors import UserError

ADAPTER_FILE = "kodolly-adapter.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
"""The two files of every adapter, under PEFT's names."""


class Probe(BaseModel):
    """A training sequence that is kept to check that the merged checkpoint makes the same tokens of it."""

    messages: list[dict[str, object]]
    input_ids: list[int]
    prompt_tokens: int
    """Number of tokens before the answer."""
    tools: list[dict[str, object]] = []
    """The tools that the conversation may call."""
    template_kwargs: dict[str, object] = {}
    """Further variables that the chat template was rendered with, where it is the model's own."""


class AdapterCard(BaseModel):
    """The content of `kodolly-adapter.json`."""

    base: str
    """Directory of the base checkpoint."""
    base_sha256: str
    card: CheckpointCard
    """The card of the merged checkpoint, to which the merge adds metrics."""
    probes: list[Probe]
    vocabulary_rows: int | None = None
    """Embedding rows that the merge gives the base, where new tokens need more than it has; None
    otherwise."""
    end_token: str | None = None
    """The token that ends an answer, where it is not the base's end token. The adapter's directory then holds
    the tokenizer that training used, as it does with new tokens."""


def is_ours(directory: Path) -> bool:
    """Whether `kodolly train` wrote this adapter. Raises UserError when `directory` holds no adapter."""
    if (directory / ADAPTER_FILE).is_file():
        return True
    if not (directory / CONFIG).is_file():
        raise UserError(
            f"{directory} is not an adapter: it has neither {ADAPTER_FILE} nor {CONFIG}.",
            hint="`kodolly train` with method lora writes one; PEFT's save_pretrained does too.",
        )
    return False


def require_safetensors(directory: Path) -> None:
    """Raises UserError unless the adapter's weights are a safetensors file."""
    if (directory / WEIGHTS).is_file():
        return
    others = sorted(path.name for path in directory.glob("adapter_model*"))
    if any(name.endswith((".safetensors", ".safetensors.index.json")) for name in others):
        raise UserError(
            f"{directory} has its weights in several files, and no {WEIGHTS}.",
            hint=f"Load it with PEFT and save it again: save_pretrained writes {WEIGHTS}.",
        )
    pickles = [name for name in others if not name.endswith(".json")]
    if pickles:
        raise UserError(
            f"{directory} has its weights in {pickles[0]}, a pickle, which may run code when it is opened; "
            "kodolly never opens one.",
            hint="Where you trust it, load it with PEFT and save it again: save_pretrained writes "
            f"{WEIGHTS}.",
        )
    raise UserError(f"{directory} is not a whole adapter: it has no {WEIGHTS}.")


def read_adapter(directory: Path) -> AdapterCard:
    """The card of an adapter that `kodolly train` wrote. Raises UserError when `directory` holds none."""
    path = directory / ADAPTER_FILE
    try:
        return AdapterCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(
            f"{directory} is not an adapter of `kodolly train`: it has no {ADAPTER_FILE}.",
            hint="`kodolly train` with method lora writes one.",
        ) from error
    except (OSError, ValueError, ValidationError) as error:
        raise UserError(f"{path} cannot be read: {error}.", hint="Train the adapter again.") from error
