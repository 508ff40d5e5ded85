"""Turns of a conversation in every spelling that published data has, as messages.

- objects with a speaker and a text: `from, value` (ShareGPT), `role, content` (OpenAI), `speaker, text` ...
- objects or arrays with a question and its answer: `human, assistant`, `input, output`, `[question, answer]`
- texts by turns of user and assistant (LIMA, UltraChat)
- any of these as JSON, or as Python prints it, inside a text (cells of a CSV)
"""

import ast
import json
from collections.abc import Sequence
from typing import Literal

import msgspec

from finetune.data.convert.fields import Record, SourceMessage, UnusableRecord, note_unused, says_something
from finetune.data.convert.tool_turns import CALLERS, RESULTS, THOUGHTS, answer, merged, results

Role = Literal["system", "user", "assistant", "tool"]

SPEAKERS: dict[str, Role] = {
    **dict.fromkeys(("human", "user", "prompter", "customer", "q", "question", "instruction"), "user"),
    **dict.fromkeys(("사용자", "유저", "고객", "손님", "질문", "질문자", "사람", "인간"), "user"),
    **dict.fromkeys(
        ("gpt", "assistant", "chatgpt", "bing", "bard", "model", "bot", "chatbot", "ai"), "assistant"
    ),
    **dict.fromkeys(("claude", "gemini", "agent", "a", "answer", "response"), "assistant"),
    **dict.fromkeys(("어시스턴트", "챗봇", "상담사", "상담원", "답변", "답변자", "봇"), "assistant"),
    **dict.fromkeys(("system", "developer", "시스템"), "system"),
}
_SPEAKER_KEYS = ("from", "role", "speaker", "author", "화자", "역할")
_TEXT_KEYS = ("value", "content", "text", "utterance", "message", "발화", "내용")
_WEIGHTS = ("weight", "train", "loss")
"""Whether a turn is learnt: OpenAI and SlimOrca, axolotl, ms-swift."""
_UNLEARNT = frozenset(("0", "0.0", "false", "no"))
"""As a number, a truth value, or what tables make of them."""
_CALLS = ("tool_calls", "function_call")
_OF_RESULTS = ("tool_call_id", "name")
_READ = frozenset({*_SPEAKER_KEYS, *_TEXT_KEYS, *_WEIGHTS, *_CALLS, *_OF_RESULTS, *THOUGHTS})
_PAIR_KEYS = (
    *(("human", "assistant"), ("user", "assistant"), ("human", "gpt"), ("user", "bot"), ("input", "output")),
    *(("question", "answer"), ("prompt", "response"), ("instruction", "output"), ("query", "response")),
    *(
        ("q", "a"),
        ("Q", "A"),
        ("질문", "답변"),
        ("질문", "답"),
        ("사용자", "챗봇"),
        ("instruction", "response"),
    ),
)
_MEDIA = (("image", "an image"), ("audio", "audio"), ("video", "a video"), ("file", "a file"))
_LONGEST_LITERAL = 1_000_000


def read_messages(turns: object, record: Record | None = None, name: str = "turns") -> list[SourceMessage]:
    """Turns as messages. What a turn of the record's field `name` holds besides is noted as unused.

    Raises UnusableRecord where a turn is none, or needs a picture.
    """
    turns = decoded(turns)
    if not isinstance(turns, list):
        raise UnusableRecord("the conversation is not an array of turns", broken=True)
    if turns and all(isinstance(turn, str) for turn in turns):
        return [_by_turns(place, said) for place, said in enumerate(turns)]
    messages: list[SourceMessage] = []
    for place, turn in enumerate(turns, start=1):
        if isinstance(turn, list) and len(turn) == 2 and all(isinstance(said, str) for said in turn):
            messages += [_by_turns(at, said) for at, said in enumerate(turn)]
        elif not isinstance(turn, dict):
            raise UnusableRecord(f"turn {place} is not an object", broken=True)
        elif keys := _pair_keys(turn):
            messages += _exchange(turn, keys, place)
        else:
            messages += _messages(turn, place)
            of_result = messages[-1].role == "tool"
            if record is not None and (not turn.keys() <= _READ or (not of_result and "name" in turn)):
                for key in turn.keys() - (_READ if of_result else _READ - {*_OF_RESULTS}):
                    if says_something(turn[key]):
                        note_unused(record, f"{name}[].{key}")
    return merged(messages)


def are_turns(value: object) -> str:
    """How the first turn of a conversation is spelled: `from`, `role` or `other`; '' where it is none."""
    turns = _decoded_or_none(value)
    if not isinstance(turns, list) or not turns:
        return ""
    first = turns[0]
    if isinstance(first, dict):
        speaker = _speaker_key(first)
        if speaker is None:
            return "other" if _pair_keys(first) else ""
        known = any(key in first for key in (*_TEXT_KEYS, "tool_calls", "function_call"))
        return ("from" if speaker == "from" else "role") if known else ""
    if isinstance(first, list):
        return "other" if len(first) == 2 and all(isinstance(said, str) for said in first) else ""
    return "other" if len(turns) > 1 and all(isinstance(said, str) for said in turns) else ""


def decoded(value: object) -> object:
    """What a text that holds JSON, or a Python list as Python prints it, stands for. Raises
    UnusableRecord."""
    if not isinstance(value, str):
        return value
    found = _decoded_or_none(value)
    if found is None:
        raise UnusableRecord("the conversation is a text that holds no JSON array", broken=True)
    return found


def refuse_media(value: str | None) -> None:
    """Raises UnusableRecord for a kind of content, such as `image_url`, that a row cannot hold."""
    for word, said in _MEDIA:
        if value and word in value:
            raise UnusableRecord(f"it needs {said}; a row holds text alone")


def _decoded_or_none(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    if len(text) > _LONGEST_LITERAL:
        return None
    try:
        return ast.literal_eval(text)  # literal_eval takes literals alone: nothing is executed
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def _by_turns(place: int, said: str) -> SourceMessage:
    return answer(said) if place % 2 else SourceMessage("user", said.strip())


def _speaker_key(turn: Record) -> str | None:
    return next((key for key in _SPEAKER_KEYS if isinstance(turn.get(key), str)), None)


def _pair_keys(turn: Record) -> tuple[str, str] | None:
    if "from" in turn or "role" in turn:
        return None
    return next((keys for keys in _PAIR_KEYS if keys[0] in turn and keys[1] in turn), None)


def _exchange(turn: Record, keys: tuple[str, str], place: int) -> list[SourceMessage]:
    system = turn.get("system")
    before = [SourceMessage("system", system.strip())] if isinstance(system, str) and system.strip() else []
    said = [turn[key] for key in keys]
    if not all(isinstance(text, str) for text in said):
        raise UnusableRecord(f"turn {place} has no text", broken=True)
    return [*before, SourceMessage("user", said[0].strip()), answer(said[1])]


def _messages(turn: Record, place: int) -> list[SourceMessage]:
    key = _speaker_key(turn)
    speaker = turn[key].strip().lower() if key else ""
    calls = [turn[name] for name in _CALLS if turn.get(name)]
    role = SPEAKERS.get(
        speaker, "assistant" if speaker in CALLERS else "tool" if speaker in RESULTS else None
    )
    if role is None:
        raise UnusableRecord(f"turn {place} is by {speaker!r}: no human, assistant or system", broken=True)
    said = next((turn[key] for key in _TEXT_KEYS if turn.get(key) is not None), None)
    if isinstance(said, list):
        said = _text_parts(said)
    elif isinstance(said, int | float) and not isinstance(said, bool):
        said = str(said)
    elif said is None and calls:
        said = ""
    elif isinstance(said, dict) and role == "tool":
        said = json.dumps(said, ensure_ascii=False)
    if not isinstance(said, str):
        raise UnusableRecord(f"turn {place} has no text", broken=True)
    if role == "tool":
        given = {name: turn[name] if isinstance(turn.get(name), str) else "" for name in _OF_RESULTS}
        return results(said, given["tool_call_id"], given["name"])
    if role != "assistant":
        return [SourceMessage(role, said.strip())]
    if speaker in CALLERS:
        calls, said = [said], ""
    thought = next((turn[name] for name in THOUGHTS if isinstance(turn.get(name), str)), "")
    return [answer(said, is_learnt(turn), calls, thought)]


def _tool_role(speaker: str) -> Role | None:
    if speaker in CALLERS:
        return "assistant"
    return "tool" if speaker in RESULTS else None


def is_learnt(turn: Record) -> bool:
    """Whether nothing in a turn says that it is context alone."""
    return not any(str(turn.get(key)).strip().lower() in _UNLEARNT for key in _WEIGHTS)


def _text_parts(parts: Sequence[object]) -> str:
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        refuse_media(kind if isinstance(kind, str) else None)
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise UnusableRecord(
                f"a message holds more than text: {kind}" if kind else "a message holds more than text"
            )
        texts.append(part["text"])
    return "\n".join(texts)
