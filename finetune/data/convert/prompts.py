"""What was said before an answer: the system prompt, the history, the question and its context, under all the
names that published data gives them."""

import re
from collections.abc import Iterator, Sequence

from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    SourceMessage,
    UnusableRecord,
    conversation,
    note_left_out,
    peek,
    says_something,
    string,
)
from finetune.data.convert.tool_turns import answer, tools_in_system, tools_of
from finetune.data.convert.turns import are_turns, is_learnt, read_messages
from finetune.rows.placeholders import without_placeholder

SYSTEMS = (
    *("system", "system_prompt", "system_message", "system_instruction", "systemPrompt", "sys_prompt"),
    *("sys", "developer", "System", "시스템", "시스템 프롬프트", "시스템프롬프트", "시스템_프롬프트"),
)
HISTORIES = (
    *("history", "chat_history", "conversation_history", "dialogue_history", "dialog_history"),
    "previous_turns",
    *("이전 대화", "이전대화", "대화 기록", "대화기록"),
)
CONTEXTS = (
    *("context", "contexts", "input", "passage", "passages", "document", "documents", "paragraph", "article"),
    *("Context", "Input", "맥락", "문맥", "지문", "본문", "문서", "입력", "참고 자료", "참고자료"),
)
TOOLS = ("tools", "functions")
SYSTEM_TOOLS = "list of tools in the system prompt"
GREETING = "greeting before the first question"
UNANSWERED = "last question without an answer"
UNLEARNT = "last answer, of weight 0"
_VERDICTS = ("label", "kto_tag", "desirable", "is_desirable")
"""Whether an unpaired answer is a good one (TRL, LLaMA-Factory, published KTO sets)."""
_GOOD = frozenset(("true", "yes", "good", "chosen", "desirable", "1", "1.0"))
_BAD = frozenset(("false", "no", "bad", "rejected", "undesirable", "0", "0.0", "-1", "-1.0"))
_MARK = re.compile(r"(?:\A\s*|\n\s*)(Human|Assistant)[ ]?:")


def before(record: Record, messages: Sequence[SourceMessage] = ()) -> list[SourceMessage]:
    """The record's system prompt and history, then `messages`; a system message of theirs is not repeated."""
    said = [*_history(record), *messages]
    own = []
    while said and said[0].role == "system":
        own.append(said.pop(0).content)
    name = named(record, SYSTEMS)
    given = string(record, name, required=False) if name else ""
    systems = list(dict.fromkeys(text for text in (given, *own) if text))
    return [SourceMessage("system", "\n\n".join(systems)), *said] if systems else said


def given_context(record: Record, taken: Sequence[str] = ()) -> str:
    """The text that the question is about, '' where there is none. Several texts are one below the other.

    taken: fields that are something else. Raises UnusableRecord where `input` or `context` is no text.
    """
    for name in CONTEXTS:
        if name not in record or name in taken:
            continue
        value = peek(record, name)
        texts = isinstance(value, list) and name.endswith("s") and all(isinstance(t, str) for t in value)
        if texts and value:
            return "\n\n".join(text.strip() for text in record[name])
        if not isinstance(value, str | int | float | None) and name not in ("input", "context"):
            continue  # told as unused
        if text := without_placeholder(string(record, name, required=False)):
            return text
    return ""


def asked(text: str) -> list[SourceMessage]:
    """The question, or all turns of a text `Human: ... Assistant: ... Human: ...` (HH-RLHF, Belle)."""
    parts = _MARK.split(text)
    if len(parts) < 3 or parts[0].strip() or parts[1] != "Human" or "Assistant" not in parts[1::2]:
        return [SourceMessage("user", text)]
    turns = marked_turns(parts)
    if turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    return turns if turns[-1].role == "user" else [SourceMessage("user", text)]


def marked_turns(parts: Sequence[str]) -> list[SourceMessage]:
    """Messages of a text that was split at `Human:` and `Assistant:`."""
    return [
        SourceMessage("user" if name == "Human" else "assistant", said.strip())
        for name, said in zip(parts[1::2], parts[2::2], strict=True)
    ]


def answered(
    record: Record,
    options: ConvertOptions,
    question: str,
    answer: str,
    context: str | None,
    facts: dict[str, object],
) -> Iterator[dict[str, object]]:
    """The row of a record with a field for the question and one for the answer.

    context: its field; None looks for one of the usual names.
    """
    facts = facts | judged(record, options)
    said = before(record, _question(record, question))
    if context is None:
        given = given_context(record, (question, answer, *options.columns.values()))
    else:
        given = without_placeholder(string(record, context, required=False)) if context else ""
    said += _answer(record, answer)
    yield conversation_row(said, record, facts, given)


def conversation_row(
    messages: Sequence[SourceMessage], record: Record, facts: dict[str, object], context: str = ""
) -> dict[str, object]:
    """The row of a whole conversation. Raises UnusableRecord."""
    if messages and messages[-1].role == "user":
        note_left_out(record, UNANSWERED)
    elif messages and not messages[-1].learnt:
        note_left_out(record, UNLEARNT)
    messages, tools = with_tools(messages, record)
    said = conversation(messages)
    return said.row(record, facts, context, tools)


def with_tools(
    messages: Sequence[SourceMessage], record: Record
) -> tuple[list[SourceMessage], list[dict[str, object]]]:
    """The conversation without tools in its system prompt, and the tools: the prompt's and the record's."""
    name = named(record, TOOLS)
    tools = tools_of(record[name]) if name else []
    if messages and messages[0].role == "system":
        prompt, listed = tools_in_system(messages[0].content)
        if listed:
            note_left_out(record, SYSTEM_TOOLS)
            tools = tools or listed
            messages = [*([SourceMessage("system", prompt)] if prompt else []), *messages[1:]]
    return list(messages), tools


def without_greeting(messages: Sequence[SourceMessage], record: Record) -> list[SourceMessage]:
    """The conversation from its first question on: what a bot says before is no answer."""
    start = next((place for place, one in enumerate(messages) if one.role != "system"), len(messages))
    first = next((place for place, one in enumerate(messages) if one.role == "user"), start)
    if first == start or any(one.role != "assistant" for one in messages[start:first]):
        return list(messages)
    note_left_out(record, GREETING)
    return [*messages[:start], *messages[first:]]


def judged(record: Record, options: ConvertOptions) -> dict[str, object]:
    """What the record itself says of its answer, for the row's meta. Raises UnusableRecord for an answer that
    is not to be learnt: a bad one, but for `options.labels`."""
    verdict: bool | None = None
    for name in _VERDICTS:
        if name not in record:
            continue
        value = peek(record, name)
        word = str(value).strip().lower()
        unpaired = name != "label" or ("prompt" in record and "completion" in record)
        is_verdict = options.labels or unpaired or word in ("true", "false")  # a text's class has a number
        if not is_verdict or word not in _GOOD | _BAD:
            continue  # told as unused
        verdict = record.get(name) is not None and word in _GOOD
        if not verdict and not options.labels:
            raise UnusableRecord(f"{name!r} says that the answer is a bad one (--labels keeps it, for kto)")
    if "weight" in record and not is_learnt({"weight": record.get("weight")}):
        raise UnusableRecord("'weight' says that the answer is not to be learnt")
    return {"label": verdict} if options.labels and verdict is not None else {}


def named(record: Record, names: Sequence[str]) -> str | None:
    """The first of these fields that says something."""
    return next((name for name in names if name in record and says_something(peek(record, name))), None)


def _history(record: Record) -> list[SourceMessage]:
    name = named(record, HISTORIES)
    if name is None or (isinstance(peek(record, name), str) and not are_turns(peek(record, name))):
        return []  # a text that is no conversation is told as unused
    return read_messages(record[name], record, name)


def _question(record: Record, name: str) -> list[SourceMessage]:
    value = peek(record, name)
    return read_messages(record[name], record, name) if are_turns(value) else asked(string(record, name))


def _answer(record: Record, name: str) -> list[SourceMessage]:
    value = peek(record, name)
    turns = [value] if isinstance(value, dict) else value
    if not isinstance(turns, list) or are_turns(turns) not in ("from", "role"):
        return [answer(string(record, name))]
    record.get(name)  # it is read
    return read_messages(turns, record, name)
