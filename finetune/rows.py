"""Dolly rows: what the files look like, and the conversation a row stands for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.errors import UserError
from finetune.data.categories import Category
from finetune.data.line_chunks import BOM
from finetune.data.other_format import other_format
from finetune.data.row_json import JsonPair, JsonRow, JsonTurn, UnusableLine, check_row, parse_row
from finetune.data.unreadable import unreadable


class Turn(BaseModel):
    """One earlier message of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["system", "user", "assistant"]
    content: str
    weight: Literal[0, 1] = 1
    """0: an answer that is context alone and is not learnt."""


class Row(BaseModel):
    """One instruction and its answer, in databricks-dolly-15k's four fields plus two optional ones.

    `finetune.data.row_json` says what a row is, here and in files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str
    context: str = ""
    response: str
    category: Category
    history: tuple[Turn, ...] = ()
    """What was said before `instruction`: a system prompt at most once and first, then pairs."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """Facts about the row: `id`, `split`, source, licence. Never shown to the model."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        _check(JsonRow(self.instruction, self.response, self.category, history=_json_turns(self.history)))
        return self


class Pair(BaseModel):
    """One prompt with a better and a worse answer, for preference training (DPO)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    instruction: str
    context: str = ""
    chosen: str
    rejected: str
    category: Category | None = None
    history: tuple[Turn, ...] = ()
    meta: dict[str, Any] = Field(default_factory=dict)

    @field_validator("category", mode="before")
    @classmethod
    def _none_said(cls, value: Any) -> Any:
        return None if value == "" else value

    @model_validator(mode="after")
    def _checked(self) -> Self:
        turns = _json_turns(self.history)
        _check(
            JsonPair(
                self.instruction, self.chosen, self.category or "", history=turns, rejected=self.rejected
            )
        )
        return self


_CLEAN = "`kodolly data check` names all lines that are no rows, `kodolly data clean` leaves them out."

AnyRow = TypeVar("AnyRow", Row, Pair)


def _json_turns(history: tuple[Turn, ...]) -> list[JsonTurn]:
    return [JsonTurn(turn.role, turn.content, turn.weight) for turn in history]


def _check(row: JsonRow) -> None:
    try:
        check_row(row)
    except UnusableLine as error:
        raise ValueError(error.detail) from error


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
    rows = [row for row, _ in rows_of_file(path, Row) if split is None or row.meta.get("split") == split]
    if not rows:
        wanted = f" with meta.split {split!r}" if split else ""
        raise UserError(f"{path} holds no rows{wanted}.")
    return rows


def rows_of_file(
    path: Path, kind: type[AnyRow], start: int = 0, end: int | None = None
) -> Iterator[tuple[AnyRow, int]]:
    """(row, byte offset) of the lines that begin at `start` (the beginning of one) and before `end`.

    Raises UserError that names the file, the line and what is wrong with it.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            place = start
            while (end is None or place < end) and (line := file.readline()):
                here, place = place, place + len(line)
                line = line.removeprefix(BOM) if here == 0 else line
                if not line or line.isspace():
                    continue
                try:
                    row = _as(kind, parse_row(line))
                except UnusableLine as error:
                    raise _refusal(path, kind, here, error) from error
                yield row, here
    except OSError as error:
        raise unreadable(path, error, "The row file") from error


def _as(kind: type[AnyRow], row: JsonRow) -> AnyRow:
    """The row as training has it. It has been checked: `model_construct` does not check again."""
    fields: dict[str, Any] = {
        "instruction": row.instruction,
        "context": row.context,
        "category": row.category or None,
        "history": tuple(
            Turn.model_construct(role=turn.role, content=turn.content, weight=turn.weight)
            for turn in row.history
        ),
        "meta": row.meta,
    }
    if isinstance(row, JsonPair):
        if kind is not Pair:
            raise _OtherKind("a preference pair (method dpo learns from those), not a row")
        fields |= {"chosen": row.response, "rejected": row.rejected}
    else:
        if kind is not Row:
            raise _OtherKind("a row with one answer, not a preference pair (chosen, rejected)")
        fields["response"] = row.response
    return kind.model_construct(**fields)


class _OtherKind(UnusableLine):
    """A row where pairs are wanted, or the other way round."""

    def __init__(self, detail: str) -> None:
        super().__init__("schema", detail)


def _refusal(path: Path, kind: type[Row] | type[Pair], place: int, error: UnusableLine) -> UserError:
    if other := other_format(path, pairs=kind is Pair):
        return other
    with path.open("rb") as file:
        number = 1 + sum(1 for _ in iter(lambda: file.tell() < place and file.readline(), False))
    return UserError(
        f"{path}, line {number}: {error.detail}.",
        hint="" if isinstance(error, _OtherKind) else _CLEAN,
    )


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
