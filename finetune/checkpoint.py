"""Writing a checkpoint or an adapter directory so that it is there whole or not at all."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.checkpoint import CARD_FILE, CheckpointCard
from common.errors import UserError


@contextlib.contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """An empty directory beside `target` that takes its name when the block ends well.

    A killed run leaves only a `.NAME.partial-PID` behind, which nobody takes for a checkpoint and the
    next run removes. Raises UserError when `target` exists or the disk is full.
    """
    if target.exists():
        raise UserError(f"{target} exists already.", hint="Name another output, or remove it first.")
    part = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for left in target.parent.glob(f".{target.name}.partial-*"):
            shutil.rmtree(left)
        part.mkdir()
        yield part
        for path in (*part.rglob("*"), part):
            _sync(path)
        part.rename(target)
        _sync(target.parent)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EFBIG):
            raise
        raise UserError(
            f"{target} cannot be written: {error.strerror}.", hint="Nothing was left behind."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checkpoint(directory: Path, model: Any, tokenizer: Any, card: CheckpointCard) -> None:
    """Fill `directory` with a complete checkpoint: weights, tokenizer, template, stop token, card."""
    model.config.use_cache = True
    model.generation_config.update(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id != tokenizer.eos_token_id else None,
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    # The very bytes that training rendered with, whatever save_pretrained made of them.
    (directory / "chat_template.jinja").write_text(tokenizer.chat_template, encoding="utf-8")
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
