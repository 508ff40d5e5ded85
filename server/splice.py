"""Changing one top-level field of a JSON body and no other byte: unknown fields, number formats, key
order and white space reach the engine as the client wrote them."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]')

MOST_REPEATS = 4
"""A field that is there more often stays, so that no body can keep us busy for long."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where a top-level field stands in a body, in bytes from its start."""

    key: tuple[int, int]
    """The name with its quotes."""
    value: tuple[int, int]


def set_field(body: bytes, name: str, value: Any) -> bytes:
    """`body`, a JSON object, with the top-level field `name` set to `value`.

    A field that is there keeps its place (the last one, which is the one that counts, when it is repeated);
    a new one comes first.
    """
    encoded = msgspec.json.encode(value)
    field = find_field(body, name)
    if field is not None:
        return body[: field.value[0]] + encoded + body[field.value[1] :]
    start = body.index(b"{") + 1
    rest = body[start:]
    comma = b"" if rest.lstrip()[:1] == b"}" else b","
    return body[:start] + msgspec.json.encode(name) + b":" + encoded + comma + rest


def rename_field(body: bytes, old: str, new: str) -> bytes:
    """`body` with the top-level field `old`, if there, called `new`."""
    field = find_field(body, old)
    if field is None:
        return body
    return body[: field.key[0]] + msgspec.json.encode(new) + body[field.key[1] :]


def remove_field(body: bytes, name: str) -> bytes:
    """`body` without the top-level field `name`, also if it is repeated."""
    for _ in range(MOST_REPEATS):
        field = find_field(body, name)
        if field is None:
            break
        before, after = body[: field.key[0]], body[field.value[1] :]
        rest = after.lstrip()
        if rest.startswith(b","):
            body = before + rest[1:].lstrip()
        else:  # the last one: the comma before it goes
            body = before.rstrip().removesuffix(b",") + after
    return body


def find_field(body: bytes, name: str) -> Field | None:
    """Where the top-level field `name` stands in a valid JSON object; the last one when it is repeated."""
    if b'"' + name.encode() + b'"' not in body and b"\\u" not in body:
        return None
    depth = 0
    key: re.Match[bytes] | None = None
    key_expected = False
    start: int | None = None
    found: Field | None = None
    for token in _TOKEN.finditer(body):
        text = token.group()
        if depth == 1 and text in (b",", b"}"):
            if key is not None and start is not None:
                found, start = Field(key.span(), _trimmed(body, start, token.start())), None
            key, key_expected = None, text == b","
        if text in (b"{", b"["):
            depth += 1
            key_expected = key_expected or depth == 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and text == b":":
            if key is not None and msgspec.json.decode(key.group()) == name:
                start = token.end()
            key_expected = False
        elif depth == 1 and key_expected and text[:1] == b'"':
            key = token
    return found


def _trimmed(body: bytes, start: int, end: int) -> tuple[int, int]:
    value = body[start:end]
    return end - len(value.lstrip()), start + len(value.rstrip())
