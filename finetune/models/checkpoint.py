"""Writing the files of a checkpoint into a directory."""

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


def size_of(model: "torch.nn.Module", dtype: str, *, trained_only: bool = False) -> int:
    """Bytes that the weights, or only those that are trained, take in a file of number format `dtype`."""
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
    """Fill `directory` with a complete checkpoint: weights, tokenizer, template, stop tokens, card.

    weights: the gathered weights of a model that is sharded (FSDP, ZeRO-3). stops: as in `set_stop_tokens`.
    """
    model.config.use_cache = True
    set_stop_tokens(model.generation_config, tokenizer, stops)
    model.save_pretrained(directory, state_dict=weights)
    write_tokenizer(directory, tokenizer)
    write_card(directory, card)


def set_stop_tokens(
    generation_config: "GenerationConfig", tokenizer: "PreTrainedTokenizerBase", stops: Sequence[int] = ()
) -> None:
    """Have engines stop at the token ids `stops`, by default at the tokenizer's end token, and never at
    padding."""
    sampling = (generation_config.temperature, generation_config.top_p, generation_config.top_k)
    if any(value is not None for value in sampling):
        # Some published configurations set a temperature but not do_sample; transformers refuses to save
        # them.
        generation_config.do_sample = True
    generation_config.update(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(stops) or [tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id != tokenizer.eos_token_id else None,
    )


def write_tokenizer(directory: Path, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Write the tokenizer, and the template byte for byte as training rendered it, whatever save_pretrained
    does with it."""
    tokenizer.save_pretrained(directory)
    (directory / TEMPLATE_FILE).write_text(tokenizer.chat_template, encoding="utf-8")


PROCESSORS = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "image_processor_config.json",
    "feature_extractor_config.json",
)
"""Configurations of the processors for images and sound, which engines load at start."""


def copy_processors(base: Path, directory: Path) -> None:
    """Copy the base's processor files without a chat template in them, which an engine would prefer to
    ours."""
    for name in PROCESSORS:
        if not (base / name).is_file():
            continue
        values = json.loads((base / name).read_text(encoding="utf-8"))
        values.pop("chat_template", None)
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        (directory / name).write_text(text, encoding="utf-8")


def write_card(directory: Path, card: CheckpointCard) -> None:
    """Write `kodolly.json`."""
    (directory / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def weights_hash(directory: Path) -> str:
    """SHA-256 over names and contents of the safetensors files, which identifies a base model."""
    digest = hashlib.sha256()
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise UserError(f"{directory} has no *.safetensors weights.")
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
