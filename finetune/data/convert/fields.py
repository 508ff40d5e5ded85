"""What every converter makes: a Dolly row or a preference pair as plain dicts, or a reason why not.

Rows are dicts here, not `finetune.rows.row.Row`: a million of them pass by, and what Row would check (nothing
blank, history in pairs) is checked where they are made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from common.errors import UserError
from finetune.rows.categories import CATEGORIES
from finetune.rows.fast_row import is_blank

Record = Mapping[str, Any]
"""One object of a source file."""


class Fields(dict[str, Any]):
    """A record that notes which of its fields are read; what nobody reads is lost, and can be told.

    `in` and `peek` look without reading.
    """

    __slots__ = ("left_out", "lost", "read")

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.read: set[str] = set()
        self.lost: list[str] = []
        """Fields inside of fields that are not used, such as `messages[].name`."""
        self.left_out: list[str] = []
        """Parts of the record that appear in no row, in words."""

    def get(self, key: str, default: object = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def unused(self) -> list[str]:
        """Fields that say something and were not read."""
        if len(self.read) >= len(self) and self.read >= self.keys():
            return self.lost
        unread = [key for key in self if key not in self.read and says_something(peek(self, key))]
        return unread + self.lost


def peek(record: Record, key: str) -> Any:
    """The field's value, or None, without reading it."""
    return dict.get(record, key) if isinstance(record, dict) else record.get(key)


def says_something(value: object) -> bool:
    """Whether a field's value would be missed: not null, blank, empty or not a number."""
    if isinstance(value, str):
        return bool(value) and not value.isspace()
    if isinstance(value, float):
        return value == value
    return value is not None and value != [] and value != {}


def note_unused(record: Record, name: str) -> None:
    """Note that a part of the record appears in no row."""
    if isinstance(record, Fields) and name not in record.lost:
        record.lost.append(name)


def note_left_out(record: Record, what: str) -> None:
    """Note that something was left out of a row on purpose."""
    if isinstance(record, Fields):
        record.left_out.append(what)


Roles = Literal["checked", "human-asks", "as-published"]
"""Who asks in `from: human|gpt` data. checked: the human, and data in which that looks inverted is refused;
human-asks: the human, unchecked; as-published: gpt's text is the instruction, as an early recipe for
KoVicuna had it."""


class UnusableRecord(UserError):
    """A record that makes no row. `broken` when it is not even shaped like its format; `undecoded` is its
    text where it could not be decoded."""

    def __init__(self, reason: str, *, broken: bool = False, undecoded: str = "") -> None:
        super().__init__(reason)
        self.broken = broken
        self.undecoded = undecoded


RowOrUnusable = dict[str, Any] | UnusableRecord


@dataclass(frozen=True)
class ConvertOptions:
    """What a converter may be told."""

    pairs: bool = False
    """Make preference pairs, not rows."""
    labels: bool = False
    """Keep bad answers, too: every row says in `meta.label` whether its answer is good."""
    roles: Roles = "checked"
    columns: Mapping[str, str] = field(default_factory=dict)
    """Field of the row -> column of the file: `instruction`, `context`, `response`, `category`, `chosen`,
    `rejected` or `meta.NAME`."""
    window: int = 1500
    """Longest context cut out of a KorQuAD 2 article, in characters."""
    meta: Mapping[str, object] = field(default_factory=dict)
    """What every row's meta holds: `source`, `licence`."""


class SourceMessage(NamedTuple):
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    learnt: bool = True
    """Whether the source lets an answer be learnt (OpenAI's `weight`)."""
    reasoning: str = ""
    calls: tuple[dict[str, object], ...] = ()
    """Tool calls of the assistant, as a row has them."""
    call_id: str = ""
    """The id of the call that a tool's result answers."""
    name: str = ""

    def turn(self) -> dict[str, object]:
        """As a row's history and steps have it."""
        said: dict[str, object] = {"role": self.role, "content": self.content}
        more = {
            "weight": None if self.learnt else 0,
            "reasoning_content": self.reasoning or None,
            "tool_calls": list(self.calls) or None,
            "tool_call_id": self.call_id or None,
            "name": self.name or None,
        }
        return said | {key: value for key, value in more.items() if value is not None}


class CutConversation(NamedTuple):
    """A conversation that ends with an answer, cut up as a row holds it."""

    history: list[dict[str, object]]
    instruction: str
    response: str
    steps: list[dict[str, object]]
    reasoning: str
    calls: list[dict[str, object]]

    def beyond_text(self, tools: Sequence[Mapping[str, object]] = ()) -> dict[str, object]:
        """Fields of a row that are there only where they say something."""
        found = {
            "tools": list(tools),
            "steps": self.steps,
            "reasoning_content": self.reasoning,
            "tool_calls": self.calls,
        }
        return {key: value for key, value in found.items() if value}

    def row(
        self,
        record: Record,
        facts: Mapping[str, object],
        context: str,
        tools: Sequence[Mapping[str, object]],
    ) -> dict[str, object]:
        """The row of a record that holds this conversation; `facts` are its meta. Raises UnusableRecord."""
        return row(
            self.instruction,
            self.response,
            facts,
            context=context,
            category=category_of(record),
            history=self.history,
            beyond=self.beyond_text(tools),
        )


def category_of(record: Record) -> object:
    """The record's own category, if it is one."""
    return record["category"] if is_category(peek(record, "category")) else None


def string(record: Record, key: str, *, required: bool = True) -> str:
    """`record[key]` without white space around it, '' for an absent or null optional one. Raises
    UnusableRecord."""
    value = record.get(key)
    if isinstance(value, str):
        return value.strip()
    if value is None or value != value:  # not a number: how pandas writes an empty cell
        if required:
            raise UnusableRecord(f"{key!r} is missing", broken=True)
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnusableRecord(f"{key!r} is not text but {_json_type(value)}", broken=True)
    return str(value)


def row(
    instruction: str,
    response: str,
    meta: Mapping[str, object],
    *,
    context: str = "",
    category: object = None,
    history: Sequence[Mapping[str, object]] = (),
    beyond: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """A Dolly row. With a context it is `closed_qa`, else `open_qa`, unless the source says more.

    beyond: tools, steps, calls and reasoning. Raises UnusableRecord when instruction or response is blank.
    """
    if is_blank(instruction):
        raise UnusableRecord("the instruction is empty")
    beyond = beyond or {}
    if is_blank(response) and "tool_calls" not in beyond:
        raise UnusableRecord("the response is empty")
    _refuse_media(instruction)
    made: dict[str, object] = {
        "instruction": instruction,
        "context": context,
        "response": response,
        "category": category if is_category(category) else "closed_qa" if context else "open_qa",
    }
    if history:
        made["history"] = history
    if meta:
        made["meta"] = meta
    return {**made, **beyond}


def pair(
    instruction: str,
    chosen: str,
    rejected: str,
    meta: Mapping[str, object],
    *,
    context: str = "",
    category: object = None,
    history: Sequence[Mapping[str, object]] = (),
    beyond: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """A preference pair (`rows.row.Pair`). Raises UnusableRecord where a text is blank or both answers
    are equal."""
    for name, text in (("instruction", instruction), ("chosen", chosen), ("rejected", rejected)):
        if is_blank(text):
            raise UnusableRecord(f"the {name} {'' if name == 'instruction' else 'answer '}is empty")
    if chosen.strip() == rejected.strip():
        raise UnusableRecord("chosen and rejected are the same answer")
    _refuse_media(instruction)
    made: dict[str, object] = {"instruction": instruction, "context": context}
    made |= {"chosen": chosen, "rejected": rejected}
    if is_category(category):
        made["category"] = category
    if history:
        made["history"] = history
    if meta:
        made["meta"] = meta
    return {**made, **(beyond or {})}


_MEDIA_MARKS = ("<image>", "<audio>", "<video>")


def _refuse_media(instruction: str) -> None:
    if instruction.startswith(_MEDIA_MARKS) or instruction.endswith(_MEDIA_MARKS):
        mark = next(mark for mark in _MEDIA_MARKS if mark in instruction)
        raise UnusableRecord(f"it needs an {mark[1:-1]} ({mark} in the question); a row holds text alone")


def is_category(category: object) -> bool:
    """Whether it is one of databricks-dolly-15k's eight."""
    return isinstance(category, str) and category in CATEGORIES


def conversation(messages: Sequence[SourceMessage]) -> CutConversation:
    """The conversation's last question and answer that are learnt, and what was said before.

    What stands after them (a question that nobody answered, an answer of weight 0) is left out. Raises
    Unusable for empty messages, for an order other than an optional system message, then user and assistant
    by turns (the assistant's with tool calls and their results before them), and where no answer is learnt.
    """
    first = 1 if messages and messages[0].role == "system" else 0
    if first and not messages[0].content.strip():
        raise UnusableRecord("message 1 is empty")
    exchanges = _exchanges(messages, first)
    if not exchanges:
        raise UnusableRecord("there is no question with an answer")
    while not exchanges[-1][-1].learnt:
        exchanges.pop()
        if not exchanges:
            raise UnusableRecord("no answer is to be learnt: all have weight 0")
    before = [*messages[:first], *(message for exchange in exchanges[:-1] for message in exchange)]
    question, *steps, answer = exchanges[-1]
    return CutConversation(
        [message.turn() for message in before],
        question.content,
        answer.content,
        [message.turn() for message in steps],
        answer.reasoning,
        list(answer.calls),
    )


def _exchanges(messages: Sequence[SourceMessage], first: int) -> list[list[SourceMessage]]:
    """Question, tool calls with their results, and answer of each exchange, without what nobody answered."""
    end = len(messages)
    while end > first and messages[end - 1].role in ("user", "tool"):
        end -= 1
    exchanges: list[list[SourceMessage]] = []
    wanted = "user"
    for place in range(first, end):
        message = messages[place]
        _require_text(message, place, end)
        if message.role == "tool" and wanted == "tool or assistant":
            exchanges[-1].append(message)
        elif message.role == "user" and wanted == "user":
            exchanges.append([message])
            wanted = "assistant"
        elif message.role == "assistant" and wanted in ("assistant", "tool or assistant"):
            if message.calls and place + 1 < end and messages[place + 1].role != "tool":
                raise UnusableRecord(f"message {place + 1} is a tool call without its result")
            exchanges[-1].append(message)
            wanted = "tool or assistant" if message.calls else "user"
        else:
            expected = wanted.replace("tool or ", "")
            raise UnusableRecord(f"message {place + 1} is by {message.role}, where {expected} speaks")
    return exchanges


def _require_text(message: SourceMessage, place: int, end: int) -> None:
    if message.calls or message.role == "tool" or message.content.strip():
        return
    ends = {end - 2: "the instruction", end - 1: "the response"}
    raise UnusableRecord(f"{ends.get(place, f'message {place + 1}')} is empty")


def meta(options: ConvertOptions, record: Record, keys: Iterable[str] = ("id",)) -> dict[str, object]:
    """The options' meta, and the record's own facts under `keys`."""
    made = dict(options.meta)
    for key in keys:
        value = record.get(key)
        if value is not None and value != "":
            made[key] = value
    return made


def strict_rows(made: Mapping[str, Any]) -> list[dict[str, object]]:
    """Rows of exactly the four keys. A conversation becomes one row for each answer, with what was said
    before it as context: `이전 질문: ...`, `이전 답변: ...`."""
    if not {"tools", "steps", "tool_calls"}.isdisjoint(made):
        raise UnusableRecord("it holds tool calls, for which the four keys have no place (--strict)")
    said: list[str] = []
    rows = []
    question = ""
    for turn in made.get("history", ()):
        if turn["role"] == "assistant":
            if turn.get("weight", 1):
                rows.append(_strict(question, "\n".join(said), turn["content"], made["category"]))
            said += [f"이전 질문: {question}", f"이전 답변: {turn['content']}"]
        elif turn["role"] == "user":
            question = turn["content"]
        else:
            said.append(f"지침: {turn['content']}")
    own = "\n\n".join(part for part in ("\n".join(said), made["context"]) if part)
    rows.append(_strict(made["instruction"], own, made["response"], made["category"]))
    return rows


def _strict(instruction: str, context: str, response: str, category: str) -> dict[str, object]:
    return {"instruction": instruction, "context": context, "response": response, "category": category}


def _json_type(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return "true or false"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def is_text(record: Record, *keys: str) -> bool:
    """Whether all these fields hold text."""
    return all(isinstance(record.get(key), str) for key in keys)
