"""Writing a checkpoint or an adapter directory so that it is there whole or not at all."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.chat_template import TEMPLATE_FILE
from common.checkpoint import CARD_FILE, CheckpointCard
from common.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


def size_of(model: "PreTrainedModel", dtype: str, *, trained_only: bool = False) -> int:
    """Bytes that the weights (or those that training changes) take in a file."""
    width = {"float32": 4, "float16": 2, "bfloat16": 2}[dtype]
    return sum(width * int(p.numel()) for p in model.parameters() if p.requires_grad or not trained_only)


def write_checkpoint(
    directory: Path,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    card: CheckpointCard,
    weights: "dict[str, torch.Tensor] | None" = None,
    stops: Sequence[int] = (),
) -> None:
    """Fill `directory` with a complete checkpoint: weights, tokenizer, template, stop token, card.

    weights: in place of the model's own, when the model is in parts (FSDP, ZeRO-3). stops: as in
    `set_stop_tokens`.
    """
    model.config.use_cache = True
    set_stop_tokens(model.generation_config, tokenizer, stops)
    model.save_pretrained(directory, state_dict=weights)
    write_tokenizer(directory, tokenizer)
    write_card(directory, card)


def set_stop_tokens(
    generation_config: "GenerationConfig", tokenizer: "PreTrainedTokenizerBase", stops: Sequence[int] = ()
) -> None:
    """Make an engine stop at `stops`, by default the tokenizer's end token, and never take padding for it."""
    sampling = (generation_config.temperature, generation_config.top_p, generation_config.top_k)
    if any(value is not None for value in sampling):
        # Published settings that say how to sample and not that; transformers refuses to write them.
        generation_config.do_sample = True
    generation_config.update(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(stops) or [tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id != tokenizer.eos_token_id else None,
    )


def write_tokenizer(directory: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    """The tokenizer and the very bytes of the template that training rendered with, whatever
    save_pretrained makes of them."""
    tokenizer.save_pretrained(directory)
    (directory / TEMPLATE_FILE).write_text(tokenizer.chat_template, encoding="utf-8")


PROCESSORS = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "image_processor_config.json",
    "feature_extractor_config.json",
)
"""How images and sounds reach a model that takes them; engines load these at start."""


def copy_processors(base: Path, directory: Path) -> None:
    """The base's processor files, without a chat template of theirs: an engine would take that first."""
    for name in PROCESSORS:
        if not (base / name).is_file():
            continue
        values = json.loads((base / name).read_text(encoding="utf-8"))
        values.pop("chat_template", None)
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        (directory / name).write_text(text, encoding="utf-8")


def write_card(directory: Path, card: CheckpointCard) -> None:
    """`kodolly.json`."""
    (directory / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def weights_hash(directory: Path) -> str:
    """SHA-256 over the names and contents of the safetensors files: the identity of a base model."""
    digest = hashlib.sha256()
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise UserError(f"{directory} has no *.safetensors weights.")
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
