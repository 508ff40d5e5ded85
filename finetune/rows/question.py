"""Rows from which a model of vectors learns: a question, the passage that answers it, and passages that do
not."""

import json
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.normal_form import nfc
from finetune.files.text_lines import text_lines


@dataclass(frozen=True)
class QuestionRow:
    """A line `{"question", "passage"}`, which may have `negatives` and `meta`."""

    question: str
    passage: str
    negatives: tuple[str, ...] = ()
    """Passages that look as if they answered the question."""
    split: str | None = None
    """`meta.split`."""


def read_question_rows(path: Path) -> list[QuestionRow]:
    """The rows of a JSONL file, their texts stripped and in NFC. Raises UserError, with the line's number, at
    the first that is none, and for a file without any."""
    rows = [
        _row(line, f"{path}, line {number}") for number, line in text_lines(path, "The file of questions")
    ]
    if not rows:
        raise UserError(f"{path} holds no questions.")
    return rows


def _row(line: str, where: str) -> QuestionRow:
    try:
        item = json.loads(line)
        question, passage = _text(item["question"]), _text(item["passage"])
        negatives = tuple(dict.fromkeys(_text(text) for text in _listed(item.get("negatives"))))
        meta = item.get("meta")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{where}: no JSON object with `question` and `passage`.",
            hint="Both are texts; `negatives`, where a line has them, is a list of texts.",
        ) from error
    if not all((question, passage, *negatives)):
        raise UserError(f"{where}: the question or its passage is empty.")
    if passage in negatives:
        raise UserError(f"{where}: the passage that answers the question is among its negatives.")
    split = meta.get("split") if isinstance(meta, dict) else None
    return QuestionRow(question, passage, negatives, split if isinstance(split, str) else None)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return nfc(value.strip())


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError("no list")
    return value
