"""Rows of a file, as training and evaluation take them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UserError
from finetune.data.other_format import other_format
from finetune.files.line_chunks import BOM
from finetune.files.unreadable import unreadable
from finetune.rows.fast_row import JsonPair, JsonRow, JsonTurn, UnusableLine, parse_row
from finetune.rows.row import Call, Pair, Row, RowTurn
from finetune.rows.tool_calls import ToolCall

_CLEAN = "`kodolly data check` names all lines that are no rows, `kodolly data clean` leaves them out."
AnyRow = TypeVar("AnyRow", Row, Pair)


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
        "history": tuple(map(_turn, row.history)),
        "meta": row.meta,
        "tools": tuple(row.tools),
        "steps": tuple(map(_turn, row.steps)),
    }
    if isinstance(row, JsonPair):
        if kind is not Pair:
            raise _OtherKind("a preference pair (method dpo learns from those), not a row")
        fields |= {"chosen": row.response, "rejected": row.rejected}
    else:
        if kind is not Row:
            raise _OtherKind("a row with one answer, not a preference pair (chosen, rejected)")
        fields["response"] = row.response
        fields["reasoning_content"] = row.reasoning_content
        fields["tool_calls"] = _calls(row.tool_calls)
    return kind.model_construct(**fields)


def _turn(turn: JsonTurn) -> RowTurn:
    return RowTurn.model_construct(
        role=turn.role,
        content=turn.content,
        weight=turn.weight,
        reasoning_content=turn.reasoning_content,
        tool_calls=_calls(turn.tool_calls),
        tool_call_id=turn.tool_call_id,
        name=turn.name,
    )


def _calls(calls: Sequence[ToolCall]) -> tuple[Call, ...]:
    made = (Call.model_construct(name=c.name, arguments=c.arguments, id=c.id) for c in calls)
    return tuple(made) if calls else ()


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
