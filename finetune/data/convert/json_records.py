"""One record of a JSON file, decoded, or in words why it cannot be."""

import contextlib
import json
import re

import msgspec

from finetune.data.convert.fields import Record, UnusableRecord
from finetune.data.convert.turns import are_turns

_decoder = msgspec.json.Decoder()


def decode_record(data: bytes, encoding: str) -> Record | UnusableRecord:
    """The object that `data` holds (a bare array of turns is one, too), or why there is none."""
    try:
        record = _decoder.decode(data if encoding == "utf-8" else data.decode(encoding))
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        reason = _why_not_text(data, encoding) or _why_not_json(data) or f"not valid JSON ({error})"
        return UnusableRecord(reason, broken=True, undecoded=data.decode(encoding, errors="replace"))
    if len(_KEY.findall(data)) != _keys(record) and (twice := _key_twice(data, encoding)):
        return UnusableRecord(
            f"the key {twice!r} stands twice in one object",
            broken=True,
            undecoded=data.decode(encoding, errors="replace"),
        )
    if isinstance(record, list) and _is_conversation(record):
        return {"messages": record}
    if not isinstance(record, dict):
        return UnusableRecord(
            "not a JSON object", broken=True, undecoded=data.decode(encoding, errors="replace")
        )
    return record


_KEY = re.compile(rb'"\s*:')
"""The end of a key; within a text something may look like one, too."""


def _keys(value: object) -> int:
    """How many keys all objects in the value have together."""
    count, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            count += len(value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count


def _key_twice(data: bytes, encoding: str) -> str:
    """A key that an object of this JSON has twice, or ''. Readers keep the last value (RFC 8259, 4), so
    that the other would be lost."""
    twice = ""

    def note(pairs: list[tuple[str, object]]) -> None:
        nonlocal twice
        seen: set[str] = set()
        for key, _ in pairs:
            twice = key if key in seen else twice
            seen.add(key)

    # What is too deep or too long a number for this reader was good enough for the other.
    with contextlib.suppress(RecursionError, ValueError):
        json.loads(data.decode(encoding), object_pairs_hook=note)
    return twice


_HALF = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_PYTHON = re.compile(rb"\s*\{\s*'|.*[:,\[]\s*(?:True|False|None)\s*[,}\]]", re.DOTALL)


_NO_NUMBER = re.compile(rb"[:,\[]\s*(?:NaN|-?Infinity)\s*[,}\]]")


def _why_not_json(data: bytes) -> str:
    if _NO_NUMBER.search(data[:100_000]):
        return "not JSON (NaN or Infinity is no value of it); an empty field is written as null"
    if _HALF.search(data):
        return "not valid JSON (it holds half of a surrogate pair)"
    if data.lstrip().startswith(b"{'"):
        return "not JSON (single quotes: a Python dict); json.dumps writes JSON"
    return "not JSON (True, False or None: a Python dict)" if _PYTHON.match(data[:100_000]) else ""


def _is_conversation(record: list[object]) -> bool:
    """Whether a bare array is one conversation; one of objects without speakers is an array of records."""
    spelling = are_turns(record)
    return spelling in ("from", "role") or (spelling == "other" and not isinstance(record[0], dict))


def _why_not_text(data: bytes, encoding: str) -> str:
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        korean = encoding == "utf-8" and decodes(data, "cp949")
        hint = "; it looks like CP949" if korean else ""
        return f"byte {error.start + 1} of the record is not {encoding.upper()} text{hint}"
    return ""


def decodes(data: bytes, encoding: str) -> bool:
    """Whether the bytes are text in this encoding."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
