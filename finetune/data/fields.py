"""What every converter makes: a Dolly row or a preference pair as plain dicts, or a reason why not.

Rows are dicts here, not `finetune.rows.Row`: a million of them pass by, and what Row would check (nothing
blank, history in pairs) is checked where they are made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from common.errors import UserError
from finetune.rows import Category

Record = Mapping[str, Any]
"""One object of a source file."""

Roles = Literal["checked", "human-asks", "as-published"]
"""Who asks in `from: human|gpt` data. checked: the human, and data in which that looks inverted is refused;
human-asks: the human, unchecked; as-published: gpt's text is the instruction, as an early recipe for
KoVicuna had it."""

CATEGORIES = frozenset(get_args(Category))


class Unusable(UserError):
    """A record that makes no row. `broken` when it is not even shaped like its format; `undecoded` is its
    text where it could not be decoded."""

    def __init__(self, reason: str, *, broken: bool = False, undecoded: str = "") -> None:
        super().__init__(reason)
        self.broken = broken
        self.undecoded = undecoded


@dataclass(frozen=True)
class Options:
    """What a converter may be told."""

    pairs: bool = False
    """Make preference pairs, not rows."""
    roles: Roles = "checked"
    columns: Mapping[str, str] = field(default_factory=dict)
    """Field of the row -> column of the file: `instruction`, `context`, `response`, `category`, `chosen`,
    `rejected` or `meta.NAME`."""
    window: int = 1500
    """Longest context cut out of a KorQuAD 2 article, in characters."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What every row's meta holds: `source`, `licence`."""


class Message(NamedTuple):
    role: Literal["system", "user", "assistant"]
    content: str


class Conversation(NamedTuple):
    """A conversation that ends with an answer, cut up as a row holds it."""

    history: list[dict[str, str]]
    instruction: str
    response: str


def string(record: Record, key: str, *, required: bool = True) -> str:
    """`record[key]` without white space around it; an absent or null optional one is ''. Raises Unusable."""
    value = record.get(key)
    if isinstance(value, str):
        return value.strip()
    if value is None:
        if required:
            raise Unusable(f"{key!r} is missing", broken=True)
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unusable(f"{key!r} is not text but {_json_type(value)}", broken=True)
    return str(value)


def row(
    instruction: str,
    response: str,
    meta: Mapping[str, Any],
    *,
    context: str = "",
    category: object = None,
    history: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A Dolly row. With a context it is `closed_qa`, else `open_qa`, unless the source says more.

    Raises Unusable when instruction or response is blank.
    """
    if not instruction or instruction.isspace():
        raise Unusable("the instruction is empty")
    if not response or response.isspace():
        raise Unusable("the response is empty")
    made: dict[str, Any] = {
        "instruction": instruction,
        "context": context,
        "response": response,
        "category": category if _known(category) else "closed_qa" if context else "open_qa",
    }
    if history:
        made["history"] = history
    if meta:
        made["meta"] = meta
    return made


def pair(
    instruction: str,
    chosen: str,
    rejected: str,
    meta: Mapping[str, Any],
    *,
    context: str = "",
    category: object = None,
    history: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A preference pair (`finetune.rows.Pair`). Raises Unusable when a text is blank or the answers equal."""
    for name, text in (("instruction", instruction), ("chosen", chosen), ("rejected", rejected)):
        if not text or text.isspace():
            raise Unusable(f"the {name} {'' if name == 'instruction' else 'answer '}is empty")
    if chosen.strip() == rejected.strip():
        raise Unusable("chosen and rejected are the same answer")
    made: dict[str, Any] = {"instruction": instruction, "context": context}
    made |= {"chosen": chosen, "rejected": rejected}
    if _known(category):
        made["category"] = category
    if history:
        made["history"] = history
    if meta:
        made["meta"] = meta
    return made


def _known(category: object) -> bool:
    return isinstance(category, str) and category in CATEGORIES


def conversation(messages: Sequence[Message]) -> Conversation:
    """The conversation's last question and answer, and what was said before.

    A question at the end that nobody answered is left out. Raises Unusable for empty messages and for an
    order other than an optional system message, then user and assistant by turns.
    """
    if messages and messages[-1].role == "user":
        messages = messages[:-1]
    first = 1 if messages and messages[0].role == "system" else 0
    if len(messages) < first + 2:
        raise Unusable("there is no question with an answer")
    for place, message in enumerate(messages):
        wanted = "system" if place < first else ("user", "assistant")[(place - first) % 2]
        if message.role != wanted:
            raise Unusable(f"message {place + 1} is by {message.role}, where {wanted} speaks")
        if not message.content or message.content.isspace():
            raise Unusable(f"message {place + 1} is empty")
    history = [{"role": message.role, "content": message.content} for message in messages[:-2]]
    return Conversation(history, messages[-2].content, messages[-1].content)


def meta(options: Options, record: Record, keys: Iterable[str] = ("id",)) -> dict[str, Any]:
    """The options' meta, and the record's own facts under `keys`."""
    made = dict(options.meta)
    for key in keys:
        value = record.get(key)
        if value is not None and value != "":
            made[key] = value
    return made


def strict_rows(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of exactly the four keys. A conversation becomes one row for each answer, with what was said
    before it as context: `이전 질문: ...`, `이전 답변: ...`."""
    said: list[str] = []
    rows = []
    question = ""
    for turn in made.get("history", ()):
        if turn["role"] == "assistant":
            rows.append(_strict(question, "\n".join(said), turn["content"], made["category"]))
            said += [f"이전 질문: {question}", f"이전 답변: {turn['content']}"]
        elif turn["role"] == "user":
            question = turn["content"]
        else:
            said.append(f"지침: {turn['content']}")
    own = "\n\n".join(part for part in ("\n".join(said), made["context"]) if part)
    rows.append(_strict(made["instruction"], own, made["response"], made["category"]))
    return rows


def _strict(instruction: str, context: str, response: str, category: str) -> dict[str, Any]:
    return {"instruction": instruction, "context": context, "response": response, "category": category}


def _json_type(value: Any) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, bool):
        return "true or false"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def is_text(record: Record, *keys: str) -> bool:
    """Whether all these fields hold text."""
    return all(isinstance(record.get(key), str) for key in keys)
