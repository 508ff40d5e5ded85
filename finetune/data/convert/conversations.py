"""Conversations: ShareGPT and KoVicuna (`conversations: [{from, value}]`), OpenAI's `messages: [{role,
content}]`, dialogues in other spellings, and OpenAssistant-guanaco's single text."""

import re
from collections.abc import Iterator, Sequence

from finetune.data.convert.columns import is_table
from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    SourceMessage,
    UnusableRecord,
    is_text,
    meta,
    peek,
    string,
)
from finetune.data.convert.prompts import (
    HISTORIES,
    before,
    conversation_row,
    judged,
    without_greeting,
)
from finetune.data.convert.turns import SPEAKERS, are_turns, read_messages

CONVERSATIONS = (
    *(
        "messages",
        "conversations",
        "conversation",
        "dialog",
        "dialogue",
        "dialogs",
        "dialogues",
        "chat",
        "turns",
    ),
    *("data", "items", "대화", "대화내용", "대화 내용"),
)
"""Fields that may hold a conversation; the first that does is taken."""
_OTHERS = frozenset({*CONVERSATIONS, *HISTORIES, "prompt", "completion"})
"""Fields that are read in other ways, or that were found to hold no conversation."""
_SPOKEN = ("from", "role")
ASSISTANT_FIRST = "the assistant speaks first: the start is missing, or human and gpt are swapped"

_MARK = re.compile(r"###\s*(Human|Assistant|System)\s*:[ \t]*")


def is_sharegpt(record: Record) -> bool:
    return _spelling(record) == "from"


def is_messages(record: Record) -> bool:
    return _spelling(record) == "role"


def is_dialogue(record: Record) -> bool:
    return _spelling(record) == "other"


def is_guanaco(record: Record) -> bool:
    return is_text(record, "text") and bool(re.search(r"###\s*Human\s*:", record["text"]))


def rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """One row for a conversation: the last question and answer, and the turns before them as history."""
    verdict = judged(record, options)
    said = messages_of(record)
    if not said:
        raise UnusableRecord("the conversation is empty")
    if options.roles == "as-published":
        said = as_published(said)
    elif first_speaker(said) == "assistant":
        if said[-1].role == "user" and options.roles == "checked":
            raise UnusableRecord(ASSISTANT_FIRST)
        said = without_greeting(said, record)
    yield conversation_row(before(record, said), record, meta(options, record) | verdict)


def guanaco_rows(record: Record, options: ConvertOptions) -> Iterator[dict[str, object]]:
    """The same for a text cut up at its marks."""
    said = before(record, split_marks(string(record, "text")))
    yield conversation_row(said, record, meta(options, record))


def messages_of(record: Record) -> list[SourceMessage]:
    """The turns of the record's conversation. Raises UnusableRecord."""
    name = _field(record) or next((name for name in CONVERSATIONS if name in record), None)
    if name is None:
        raise UnusableRecord("there is no conversation: none of " + ", ".join(CONVERSATIONS[:8]), broken=True)
    return read_messages(record[name], record, name)


def split_marks(text: str) -> list[SourceMessage]:
    """`### Human: ...### Assistant: ...` as messages. Raises UnusableRecord where text
    precedes the first mark."""
    parts = _MARK.split(text)
    if parts[0].strip():
        raise UnusableRecord("the text does not begin with `### Human:`")
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [SourceMessage(SPEAKERS[name.lower()], said.strip()) for name, said in turns]


def as_published(messages: Sequence[SourceMessage]) -> list[SourceMessage]:
    """The speakers exchanged pair by pair: what gpt said becomes the question."""
    first = 1 if messages and messages[0].role == "system" else 0
    swapped = [
        SourceMessage("user" if m.role == "assistant" else "assistant", m.content) for m in messages[first:]
    ]
    if swapped and swapped[0].role == "assistant":  # published as human, gpt, human, gpt
        swapped = [m for place in range(0, len(swapped) - 1, 2) for m in (swapped[place + 1], swapped[place])]
    return [*messages[:first], *swapped]


def first_speaker(messages: Sequence[SourceMessage]) -> str:
    return next((message.role for message in messages if message.role != "system"), "")


def _spelling(record: Record) -> str:
    if "chosen" in record or "rejected" in record:
        return ""
    name = _field(record)
    return are_turns(peek(record, name)) if name else ""


def _field(record: Record) -> str | None:
    """The field that holds the conversation: one of the usual names, else the only one whose turns say who
    speaks, whatever it is called."""
    usual = next((name for name in CONVERSATIONS if name in record and are_turns(peek(record, name))), None)
    if usual is not None:
        return usual
    if is_table(record):
        return None
    others = [name for name in record if name not in _OTHERS and are_turns(peek(record, name)) in _SPOKEN]
    return others[0] if len(others) == 1 else None
