"""A large JSON body without its bulk, so that what is done to requests costs the same for all of them.

Everything that reads or changes a body (`request.parse_head`, `splice`, `outbound`) sees a small one in
which each long stretch is a stand-in; `whole` puts the stretches back. The body is walked through once, in
steps that let other requests run: one of 16 MB with millions of values takes seconds of CPU.
"""

import asyncio
import re
import secrets
from collections.abc import Generator
from dataclasses import dataclass

import msgspec

from common.errors import BadRequest
from server.request import FIRST_MESSAGES, PREFIX_BYTES, RequestHead, parse_head
from server.splice import Field

LARGE_BYTES = 64 * 1024
"""A body from here on is thinned out; a smaller one is walked through in a few milliseconds."""
CHECKED_BYTES = 1024 * 1024
"""Up to here a body is parsed as a whole, in milliseconds; beyond, the engine finds what is wrong inside."""
KEPT_BYTES = 4096
"""A shorter stretch stays."""
MOST_FIELDS = 200
"""So many fields with other names than those that the gateway reads are told apart; requests have some 20."""
TAIL_BYTES = 64 * 1024
"""How much white space may follow the last value."""
STEP = 4096
"""Brackets and strings that are looked at in one step: some milliseconds."""
_SECRET = secrets.token_hex(16).encode()
"""No client can write a stand-in of ours."""
_NEXT = re.compile(rb'[^"{}\[\]:,]{0,1000000}+(["{}\[\]:,]?)')
_NEXT_NESTED = re.compile(rb'[^"{}\[\]]{0,1000000}+(["{}\[\]]?)')
"""Within a nested value commas and colons say nothing."""
_REST_OF_STRING = re.compile(rb'(?:[^"\\]{0,1000000}+(?:\\.)?+){0,20000}+', re.DOTALL)
"""As much of a string, from behind its opening quote, as one step takes."""
_BLANK = b" \t\r\n"
_LEADING = re.compile(rb"[{,\s]*+")
_READ = frozenset(RequestHead.__struct_fields__)


class _Unsound(ValueError):
    """The body is no JSON object from its first brace to its last."""


@dataclass(frozen=True, slots=True)
class ThinBody:
    """A body in which stand-ins take the place of long stretches."""

    body: bytes
    head: RequestHead
    stretches: tuple[tuple[bytes, bytes], ...] = ()
    """Stand-in and what it stands for."""

    def whole(self, body: bytes) -> bytes:
        """`body`, which was made of ours, with the stretches put back."""
        for stand_in, stretch in self.stretches:
            body = body.replace(stand_in, stretch, 1)
        return body


async def thinned(body: bytes) -> ThinBody:
    """What the relay works with in place of `body`. Raises BadRequest for what is no request."""
    if len(body) <= LARGE_BYTES:
        return ThinBody(body, parse_head(body))
    if len(body) <= CHECKED_BYTES:
        parse_head(body)
    walking = _walk(body)
    try:
        while True:
            next(walking)
            await asyncio.sleep(0)
    except StopIteration as end:
        return _thin(body, end.value)
    except _Unsound as error:
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from error


def _thin(body: bytes, fields: dict[str, Field]) -> ThinBody:
    parts: list[bytes] = []
    stretches: list[tuple[bytes, bytes]] = []
    at = 0

    def put(stretch: bytes, form: bytes) -> None:
        if len(stretch) <= KEPT_BYTES:
            parts.append(stretch)
            return
        stand_in = form % (b"%b-%d" % (_SECRET, len(stretches)))
        parts.append(stand_in)
        stretches.append((stand_in, stretch))

    def put_members(start: int, end: int) -> None:
        """What lies between two fields, its outer commas and braces staying."""
        first = min(end, _LEADING.match(body, start).end())  # type: ignore[union-attr]
        tail = body[max(first, end - TAIL_BYTES) : end].rstrip(_BLANK)
        tail = tail.removesuffix(b"}" if end == len(body) else b",").rstrip(_BLANK)
        last = max(first, end - TAIL_BYTES) + len(tail)
        parts.append(body[start:first])
        put(body[first:last], b'"%b":0')
        parts.append(body[last:end])

    for name, field in sorted(fields.items(), key=lambda found: found[1].key):
        put_members(at, field.key[0])
        parts.append(body[field.key[0] : field.value[0]])
        value = body[slice(*field.value)]
        if name == "model":
            parts.append(value)
        else:
            put(value, b'"%b"')
        at = field.value[1]
    put_members(at, len(body))
    small = b"".join(parts)
    head = parse_head(small)
    for name in ("messages", "prompt"):
        if name in fields:
            setattr(head, name, msgspec.Raw(_beginning(body[slice(*fields[name].value)], name)))
    return ThinBody(small, head, tuple(stretches))


def _beginning(value: bytes, name: str) -> bytes:
    """As much of a conversation as tells it from others (see `request.conversation_prefix`)."""
    if name == "prompt" or len(value) <= LARGE_BYTES:
        return value if name == "messages" else value[:PREFIX_BYTES]
    depth, at, ends = 0, 0, 0
    while at < LARGE_BYTES and ends < FIRST_MESSAGES:
        mark, _, at = _next_mark(value, at, nested=True)
        if not mark:
            break
        if mark == b'"':
            found = _REST_OF_STRING.match(value, at)
            at = (found.end() if found else at) + 1
        else:
            depth += 1 if mark in b"{[" else -1
            ends += depth == 1 and mark in b"}]"
    return value[:at] + b"]" if ends == FIRST_MESSAGES else value[:0]


def _walk(body: bytes) -> Generator[None, None, dict[str, Field]]:
    """Find the top-level fields, the last one of each name; yields between steps."""
    found: dict[str, Field] = {}
    at = body.find(b"{") + 1
    if not at or body[: at - 1].strip(_BLANK):
        raise _Unsound
    depth, steps, start = 1, 0, -1
    key = (0, 0)
    name: str | None = None
    while depth:
        steps += 1
        if not steps % STEP:
            yield
        before = at
        mark, begin, at = _next_mark(body, at, nested=depth > 1)
        if not mark:
            if at == before:
                raise _Unsound
            yield
            continue
        if mark == b'"':
            at = yield from _string_end(body, at)
            if depth == 1 and start < 0:
                key = (begin, at)
        elif mark in b"{[":
            depth += 1
        elif mark == b":":
            if start < 0:
                name, start = _name(body[key[0] : min(key[1], key[0] + 256)]), at
                if name not in _READ and name not in found and len(found) >= MOST_FIELDS:
                    name = None
        elif depth == 1 and mark in b",}":
            if name is not None:
                found[name] = Field(key, _trimmed(body, start, begin))
            name, start = None, -1
            depth -= mark == b"}"
        else:
            depth -= 1
    if body[at:].strip(_BLANK):
        raise _Unsound
    return found


def _next_mark(body: bytes, at: int, *, nested: bool) -> tuple[bytes, int, int]:
    """The next mark of the grammar from `at` on, where it begins and ends; b"" if there is none as far as one
    step goes."""
    match = (_NEXT_NESTED if nested else _NEXT).match(body, at)
    if match is None:
        return b"", at, at
    begin, end = match.span(1)
    return match[1], begin, end


def _string_end(body: bytes, at: int) -> Generator[None, None, int]:
    """The byte behind the closing quote of the string whose opening quote is before `at`."""
    end = body.find(b'"', at)
    if end >= 0 and body.find(b"\\", at, end) < 0:
        return end + 1
    while True:
        match = _REST_OF_STRING.match(body, at)
        end = match.end() if match else at
        if body[end : end + 1] == b'"':
            return end + 1
        if end == at:
            raise _Unsound
        at = end
        yield


def _name(key: bytes) -> str | None:
    try:
        return msgspec.json.decode(key, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _trimmed(body: bytes, start: int, end: int) -> tuple[int, int]:
    value = body[start:end]
    return end - len(value.lstrip(_BLANK)), start + len(value.rstrip(_BLANK))
