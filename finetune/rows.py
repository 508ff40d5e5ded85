"""Dolly rows: what the files look like, and the conversation a row stands for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.errors import UserError

Category = Literal[
    "brainstorming",
    "classification",
    "closed_qa",
    "creative_writing",
    "general_qa",
    "information_extraction",
    "open_qa",
    "summarization",
]
"""The eight of databricks-dolly-15k."""


class Turn(BaseModel):
    """One earlier message of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["system", "user", "assistant"]
    content: str


class Row(BaseModel):
    """One instruction and its answer, in databricks-dolly-15k's four fields plus two optional ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str = Field(min_length=1)
    context: str = ""
    response: str = Field(min_length=1)
    category: Category
    history: tuple[Turn, ...] = ()
    """What was said before `instruction`: a system prompt at most once and first, then pairs."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """Facts about the row: `id`, `split`, source, licence. Never shown to the model."""

    @field_validator("instruction", "response")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value

    @field_validator("history")
    @classmethod
    def _alternating(cls, value: tuple[Turn, ...]) -> tuple[Turn, ...]:
        turns = value[1:] if value and value[0].role == "system" else value
        expected = ["user", "assistant"] * (len(turns) // 2)
        if [turn.role for turn in turns] != expected:
            raise ValueError("must be pairs of user and assistant, after at most one system message")
        return value


class Pair(BaseModel):
    """One prompt with a better and a worse answer, for preference training (DPO)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str = Field(min_length=1)
    context: str = ""
    chosen: str = Field(min_length=1)
    rejected: str = Field(min_length=1)
    category: Category | None = None
    history: tuple[Turn, ...] = ()
    meta: dict[str, Any] = Field(default_factory=dict)

    @field_validator("instruction", "chosen", "rejected")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        return Row._not_blank(value)

    @field_validator("history")
    @classmethod
    def _alternating(cls, value: tuple[Turn, ...]) -> tuple[Turn, ...]:
        return Row._alternating(value)

    @model_validator(mode="after")
    def _answers_differ(self) -> Self:
        if self.chosen.strip() == self.rejected.strip():
            raise ValueError("chosen and rejected are the same answer")
        return self


def to_messages(row: Row) -> list[dict[str, str]]:
    """The row as chat messages, the way a client would send them; the last one is the answer."""
    question = row.instruction
    if row.context.strip():
        # Dolly's own training format keeps the context inside the instruction's turn.
        question = f"{row.instruction}\n\nInput:\n{row.context}"
    history = [{"role": turn.role, "content": turn.content} for turn in row.history]
    return [
        *history,
        {"role": "user", "content": question},
        {"role": "assistant", "content": row.response.strip()},
    ]


def load_rows(path: Path, split: str | None = None) -> list[Row]:
    """All rows of a JSONL file, or those whose `meta.split` is `split`.

    Raises UserError that names the file, the line and what is wrong with it.
    """
    rows = [row for row in _read(path) if split is None or row.meta.get("split") == split]
    if not rows:
        wanted = f" with meta.split {split!r}" if split else ""
        raise UserError(f"{path} holds no rows{wanted}.")
    return rows


def _read(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parse(line, path, number)
    except OSError as error:
        raise UserError(f"The row file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The row file {path} is not UTF-8 text.", hint="Save it as UTF-8.") from error


def _parse(line: str, path: Path, number: int) -> Row:
    try:
        return Row.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise UserError(f"{path}, line {number}: {reason}.") from error
    except ValueError as error:
        raise UserError(f"{path}, line {number}: not valid JSON ({error}).") from error


def load_paragraphs(path: Path) -> list[str]:
    """Plain text, one paragraph per block between blank lines. Raises UserError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"The text file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The text file {path} is not UTF-8 text.", hint="Save it as UTF-8.") from error
    paragraphs = [block.strip() for block in text.split("\n\n") if block.strip()]
    if not paragraphs:
        raise UserError(f"The text file {path} is empty.")
    return paragraphs
