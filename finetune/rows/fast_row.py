"""Dolly rows as lines of JSON: the one place that says what a row is, for checking, cleaning and training."""

from typing import Literal

import msgspec

from finetune.rows.categories import CATEGORIES
from finetune.rows.characters import mend_text
from finetune.rows.tool_calls import ToolCall, called_tools, tool_names


class JsonTurn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One message of a row's history or steps."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str
    """'' where an answer consists of tool calls alone."""
    weight: Literal[0, 1] = 1
    """0: an answer that serves as context and is never learnt, as in OpenAI's fine-tuning files."""
    reasoning_content: str = ""
    """What the assistant thought before it answered."""
    tool_calls: list[ToolCall] = []
    """The assistant's calls of tools."""
    tool_call_id: str = ""
    """For a tool's result, the id of the call that it answers; '' for the first call still unanswered."""
    name: str = ""
    """For a tool's result, the tool's name."""

    def texts(self) -> list[str]:
        """All texts of the message: content, thought and the texts in its calls."""
        calls = [text for call in self.tool_calls for text in call.texts()] if self.tool_calls else []
        thought = [self.reasoning_content] if self.reasoning_content else []
        return [*thought, self.content, *calls]


class JsonRow(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One instruction and its answer; `check_row` checks what the types cannot express."""

    instruction: str
    response: str
    category: str
    context: str = ""
    history: list[JsonTurn] = []
    meta: dict[str, object] = {}
    tools: list[dict[str, object]] = []
    """What the assistant may call, as OpenAI's API has it: `{type: function, function: {name, ...}}`."""
    steps: list[JsonTurn] = []
    """Between instruction and response: the assistant's tool calls and their results."""
    reasoning_content: str = ""
    """What the assistant thought before `response`."""
    tool_calls: list[ToolCall] = []
    """Calls with which the conversation ends; `response` may then be blank."""

    def texts(self) -> list[str]:
        """All texts that the model will read or learn, in that order: history, instruction, context, steps,
        response."""
        said = [text for turn in self.history for text in turn.texts()] if self.history else []
        done = [text for turn in self.steps for text in turn.texts()] if self.steps else []
        thought = [self.reasoning_content] if self.reasoning_content else []
        calls = [text for call in self.tool_calls for text in call.texts()] if self.tool_calls else []
        return [*said, self.instruction, self.context, *done, *thought, self.response, *calls]


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
    """A row as it is written: databricks-dolly-15k's four fields always and in its order, then the others."""

    instruction: str
    context: str
    response: str
    category: str
    history: list[JsonTurn] = []
    meta: dict[str, object] = {}
    tools: list[dict[str, object]] = []
    steps: list[JsonTurn] = []
    reasoning_content: str = ""
    tool_calls: list[ToolCall] = []


class _PairLine(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A preference pair as its line in a file has it."""

    instruction: str
    context: str = msgspec.field(default_factory=str)  # written even when empty
    chosen: str
    rejected: str
    category: str | None = None
    history: list[JsonTurn] = []
    meta: dict[str, object] = {}
    tools: list[dict[str, object]] = []
    steps: list[JsonTurn] = []


_decoder = msgspec.json.Decoder(JsonRow)
_pair_decoder = msgspec.json.Decoder(_PairLine)
_encoder = msgspec.json.Encoder()


def parse_row(line: bytes) -> JsonRow:
    """The row or preference pair in one line. Raises UnusableLine with the reason not_utf8, not_json, schema,
    category or empty."""
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
        pair.tools,
        pair.steps,
        rejected=pair.rejected,
    )


def check_row(row: JsonRow) -> None:
    """Raises UnusableLine for what the types cannot express: category, blank texts, the order of roles,
    tools."""
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
        if is_blank(text) and not (name == "response" and row.tool_calls):
            raise UnusableLine("empty", f"the {name} is blank")
    if row.history:
        _check_history(row.history)
    if row.steps and _behind_steps(row.steps) != len(row.steps):
        raise UnusableLine("schema", "the steps are not tool calls of the assistant, each with its results")
    if row.tools or row.steps or row.tool_calls or row.history:
        _check_tools(row)


def _check_history(history: list[JsonTurn]) -> None:
    turns = list(history)
    for role in ("system", "developer"):
        if turns and turns[0].role == role:
            turns.pop(0)
    while turns:
        end = 1 + _behind_steps(turns[1:])
        answer = turns[end] if end < len(turns) else None
        if turns[0].role != "user" or answer is None or answer.role != "assistant" or answer.tool_calls:
            raise UnusableLine(
                "schema", "the history is not pairs of user and assistant after at most one system message"
            )
        turns = turns[end + 1 :]


def _behind_steps(turns: list[JsonTurn]) -> int:
    """How many turns at the beginning are tool calls with their results, of which a call has one at most."""
    place = 0
    while place < len(turns) and turns[place].role == "assistant" and turns[place].tool_calls:
        results = 0
        for turn in turns[place + 1 : place + 1 + len(turns[place].tool_calls)]:
            if turn.role != "tool":
                break
            results += 1
        if not results:
            break
        place += 1 + results
    return place


def _check_tools(row: JsonRow) -> None:
    """Raises UnusableLine for fields that belong to another role, and for calls of tools that are not
    offered."""
    turns = [*row.history, *row.steps]
    for turn in turns:
        if turn.role != "assistant" and (turn.reasoning_content or turn.tool_calls):
            raise UnusableLine("schema", f"a turn by {turn.role} thinks or calls tools")
        if turn.role != "tool" and (turn.tool_call_id or turn.name):
            raise UnusableLine("schema", f"a turn by {turn.role} has the fields of a tool's result")
    known = tool_names(row.tools)
    if known is None:
        raise UnusableLine("schema", "a tool is not of the form {type: function, function: {name: ...}}")
    for name in called_tools([*(turn.tool_calls for turn in turns), row.tool_calls]):
        if known and name not in known:
            raise UnusableLine("schema", f"the tool {name!r} is called and is not among the row's tools")


def is_blank(text: str) -> bool:
    """Whether the text shows nothing: white space alone and invisible characters, which mending removes."""
    first = text[:1]
    if "!" <= first <= "~" or "가" <= first <= "힣":  # nearly every text begins so: this spares the slow test
        return False
    return not mend_text(text)[0]


def write_row(row: JsonRow) -> bytes:
    """One line of UTF-8 JSON with its line end: always the four fields, the others where they are not
    empty."""
    if isinstance(row, JsonPair):
        written: msgspec.Struct = _PairLine(
            instruction=row.instruction,
            context=row.context,
            chosen=row.response,
            rejected=row.rejected,
            category=row.category or None,
            history=row.history,
            meta=row.meta,
            tools=row.tools,
            steps=row.steps,
        )
    else:
        written = _Written(
            row.instruction,
            row.context,
            row.response,
            row.category,
            row.history,
            row.meta,
            row.tools,
            row.steps,
            row.reasoning_content,
            row.tool_calls,
        )
    return _encoder.encode(written) + b"\n"


def _no_json(line: bytes, message: str) -> UnusableLine:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return UnusableLine("not_utf8", f"not UTF-8 text (byte {error.start + 1} of the line)")
    return UnusableLine("not_json", f"not valid JSON ({message})")
