"""Votes and ratings as lines of a file, without the personal data that people type into chats."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.feedback import StoredKind

TEXTS = frozenset({"content", "answer", "comment", "correction"})
"""Fields that hold people's and models' words."""


def exported(kind: StoredKind, row: dict[str, Any], *, mask: bool) -> tuple[dict[str, Any], int]:
    """The row with its kind, and how many places in it were masked."""
    line, count = _masked(row) if mask else (row, 0)
    return {"kind": kind.removesuffix("s"), **line}, count


def masked_row(row: dict[str, Any]) -> dict[str, Any]:
    """A vote or rating with masks in the place of personal data."""
    line: dict[str, Any] = _masked(row)[0]
    return line


def _masked(value: Any, name: str = "") -> tuple[Any, int]:
    from finetune.data.clean.personal_data import mask_personal_data

    if isinstance(value, str) and name in TEXTS:
        text, masked = mask_personal_data(value)
        return text, len(masked)
    if isinstance(value, dict):
        items = {key: _masked(inner, key) for key, inner in value.items()}
        return {key: inner for key, (inner, _) in items.items()}, sum(count for _, count in items.values())
    if isinstance(value, list):
        parts = [_masked(inner, name) for inner in value]
        return [inner for inner, _ in parts], sum(count for _, count in parts)
    return value, 0


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """JSONL of mode 0600, whole or not at all. Raises UserError."""
    part = path.with_name(path.name + ".part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            for line in lines:
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
