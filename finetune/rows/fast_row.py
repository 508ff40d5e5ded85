"""Dolly rows as lines of JSON: the one place that says what a row is, for checking, cleaning and training."""

from typing import Any, Literal

import msgspec

from finetune.rows.categories import CATEGORIES
from finetune.rows.characters import mend_text


class JsonTurn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One earlier message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
    weight: Literal[0, 1] = 1
    """0: an answer that is context alone, as in OpenAI's files; it is never learnt."""


class JsonRow(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One instruction and its answer; `check_row` checks what the types don't say."""

    instruction: str
    response: str
    category: str
    context: str = ""
    history: list[JsonTurn] = []
    meta: dict[str, Any] = {}

    def texts(self) -> list[str]:
        """All the model will see or learn, as it is read: history, instruction, context, response."""
        said = [turn.content for turn in self.history] if self.history else []
        return [*said, self.instruction, self.context, self.response]


class JsonPair(JsonRow):
    """A preference pair: a row whose `response` is the chosen answer. A pair without a category has ''."""

    rejected: str = ""

    def texts(self) -> list[str]:
        return [*super().texts(), self.rejected]


class UnusableLine(Exception):
    """A line that holds no row. `reason` is one of `finetune.rows.reasons.REJECTED`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Written(msgspec.Struct, omit_defaults=True):
    """A row in the order of databricks-dolly-15k's fields, all four of them always there."""

    instruction: str
    context: str
    response: str
    category: str
    history: list[JsonTurn] = []
    meta: dict[str, Any] = {}


class _PairLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A preference pair as it stands in a file."""

    instruction: str
    context: str = msgspec.field(default_factory=str)  # written even when empty
    chosen: str
    rejected: str
    category: str | None = None
    history: list[JsonTurn] = []
    meta: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(JsonRow)
_pair_decoder = msgspec.json.Decoder(_PairLine)
_encoder = msgspec.json.Encoder()


def parse_row(line: bytes) -> JsonRow:
    """The row or preference pair of one line. Raises UnusableLine: not_utf8, not_json, schema, category,
    empty."""
    try:
        try:
            row = _decoder.decode(line)
        except msgspec.ValidationError:
            if b'"chosen"' not in line:
                raise
            row = _as_row(_pair_decoder.decode(line))
    except msgspec.ValidationError as error:
        raise UnusableLine("schema", str(error)) from error
    except UnicodeDecodeError as error:
        raise UnusableLine("not_utf8", f"not UTF-8 text (byte {error.start + 1} of the line)") from error
    except msgspec.DecodeError as error:
        raise _no_json(line, str(error)) from error
    except RecursionError as error:
        raise UnusableLine("not_json", "arrays or objects are nested too deeply") from error
    check_row(row)
    return row


def _as_row(pair: _PairLine) -> JsonPair:
    return JsonPair(
        pair.instruction,
        pair.chosen,
        pair.category or "",
        pair.context,
        pair.history,
        pair.meta,
        pair.rejected,
    )


def check_row(row: JsonRow) -> None:
    """Raises UnusableLine for what the types don't say: category, blank texts, the order of the history."""
    if isinstance(row, JsonPair):
        if is_blank(row.rejected):
            raise UnusableLine("empty", "the rejected answer is blank")
        if row.response.strip() == row.rejected.strip():
            raise UnusableLine("schema", "chosen and rejected are the same answer")
    if row.category not in CATEGORIES and not (isinstance(row, JsonPair) and not row.category):
        raise UnusableLine(
            "category", f"the category {row.category!r} is none of {', '.join(sorted(CATEGORIES))}"
        )
    for name, text in (("instruction", row.instruction), ("response", row.response)):
        if is_blank(text):
            raise UnusableLine("empty", f"the {name} is blank")
    if row.history:
        turns = row.history[1:] if row.history[0].role == "system" else row.history
        expected = ["user", "assistant"] * (len(turns) // 2)
        if [turn.role for turn in turns] != expected:
            raise UnusableLine(
                "schema", "the history is not pairs of user and assistant after at most one system message"
            )


def is_blank(text: str) -> bool:
    """Whether nothing of the text is to be seen: only white space and characters that mending takes away."""
    first = text[:1]
    if "!" <= first <= "~" or "가" <= first <= "힣":  # how nearly every text begins
        return False
    return not mend_text(text)[0]


def write_row(row: JsonRow) -> bytes:
    """One line of UTF-8 JSON with its line end: always the four fields, the others when they say
    something."""
    if isinstance(row, JsonPair):
        written: msgspec.Struct = _PairLine(
            instruction=row.instruction,
            context=row.context,
            chosen=row.response,
            rejected=row.rejected,
            category=row.category or None,
            history=row.history,
            meta=row.meta,
        )
    else:
        written = _Written(row.instruction, row.context, row.response, row.category, row.history, row.meta)
    return _encoder.encode(written) + b"\n"


def _no_json(line: bytes, message: str) -> UnusableLine:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return UnusableLine("not_utf8", f"not UTF-8 text (byte {error.start + 1} of the line)")
    return UnusableLine("not_json", f"not valid JSON ({message})")
