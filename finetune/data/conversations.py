"""Conversations: ShareGPT and KoVicuna (`conversations: [{from, value}]`), OpenAI's `messages: [{role,
content}]`, and OpenAssistant-guanaco's single text (`### Human: ...### Assistant: ...`)."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from finetune.data.fields import Message, Options, Record, Unusable, conversation, is_text, meta, row, string

SPEAKERS: dict[str, Literal["system", "user", "assistant"]] = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "bot"), "assistant"),
    "system": "system",
}

ASSISTANT_FIRST = "the assistant speaks first: the start is missing, or human and gpt are swapped"

_MARK = re.compile(r"###\s*(Human|Assistant|System)\s*:[ \t]*")


def is_sharegpt(record: Record) -> bool:
    turns = record.get("conversations")
    return _are_turns(turns, "from", "value") and not {"chosen", "rejected"} & record.keys()


def is_messages(record: Record) -> bool:
    turns = record.get("messages")
    return _are_turns(turns, "role", "content") and not {"chosen", "rejected"} & record.keys()


def is_guanaco(record: Record) -> bool:
    return is_text(record, "text") and bool(re.search(r"###\s*Human\s*:", record["text"]))


def sharegpt_rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """One row for a conversation: the last question and answer, and the turns before them as history."""
    messages = read_messages(record.get("conversations"))
    if not messages:
        raise Unusable("the conversation is empty")
    if options.roles == "as-published":
        messages = as_published(messages)
    elif first_speaker(messages) == "assistant":
        raise Unusable(ASSISTANT_FIRST)
    yield _row(messages, options, record)


def message_rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """The same for `messages`."""
    yield _row(read_messages(record.get("messages")), options, record)


def guanaco_rows(record: Record, options: Options) -> Iterator[dict[str, Any]]:
    """The same for a text cut up at its marks."""
    yield _row(split_marks(string(record, "text")), options, record)


def read_messages(turns: Any) -> list[Message]:
    """Turns of either spelling (`from, value` or `role, content`). Raises Unusable."""
    if not isinstance(turns, list):
        raise Unusable("the conversation is not an array of turns", broken=True)
    messages = []
    for place, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise Unusable(f"turn {place} is not an object", broken=True)
        speaker = turn.get("from", turn.get("role"))
        role = SPEAKERS.get(speaker.lower()) if isinstance(speaker, str) else None
        if role is None:
            raise Unusable(f"turn {place} is by {speaker!r}: no human, assistant or system", broken=True)
        said = turn.get("value", turn.get("content"))
        if isinstance(said, list):
            said = _text_parts(said)
        if not isinstance(said, str):
            raise Unusable(f"turn {place} has no text", broken=True)
        messages.append(Message(role, said.strip()))
    return messages


def split_marks(text: str) -> list[Message]:
    """`### Human: ...### Assistant: ...` as messages. Raises Unusable when text precedes the first mark."""
    parts = _MARK.split(text)
    if parts[0].strip():
        raise Unusable("the text does not begin with `### Human:`")
    turns = zip(parts[1::2], parts[2::2], strict=True)
    return [Message(SPEAKERS[name.lower()], said.strip()) for name, said in turns]


def as_published(messages: Sequence[Message]) -> list[Message]:
    """The speakers exchanged pair by pair: what gpt said becomes the question."""
    first = 1 if messages and messages[0].role == "system" else 0
    swapped = [Message("user" if m.role == "assistant" else "assistant", m.content) for m in messages[first:]]
    if swapped and swapped[0].role == "assistant":  # published as human, gpt, human, gpt
        swapped = [m for place in range(0, len(swapped) - 1, 2) for m in (swapped[place + 1], swapped[place])]
    return [*messages[:first], *swapped]


def first_speaker(messages: Sequence[Message]) -> str:
    return next((message.role for message in messages if message.role != "system"), "")


def _row(messages: Sequence[Message], options: Options, record: Record) -> dict[str, Any]:
    said = conversation(messages)
    return row(
        said.instruction,
        said.response,
        meta(options, record),
        category=record.get("category"),
        history=said.history,
    )


def _are_turns(turns: Any, who: str, what: str) -> bool:
    return isinstance(turns, list) and all(isinstance(t, dict) and who in t and what in t for t in turns)


def _text_parts(parts: list[Any]) -> str:
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise Unusable("a message holds more than text")
    return "\n".join(part["text"] for part in parts)
