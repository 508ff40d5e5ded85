"""Where the top-level members of a JSON object stand, found in small steps.

What is inside of a nested value is stepped over bracket by bracket, what lies between two brackets in C. No
step takes longer than some milliseconds, whatever the text is: a caller can let others run between two. The
text is not judged: who must know that it is JSON parses it as a whole.
"""

import re
from collections.abc import Generator
from typing import NamedTuple

REACH = 256 * 1024
"""How many bytes one step looks at."""
STEPS = 200
"""Brackets between two yields: a tenth of a millisecond."""
MOST_MEMBERS = 2000
"""Of an object; requests have some 20."""
STEP_BYTES = 1024
"""So many bytes between two brackets count as another step."""
BLANK = b" \t\r\n"

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SIMPLE = re.compile(
    rb"[ \t\r\n]*+(%b)[ \t\r\n]*+:[ \t\r\n]*+(%b|[^\"{}\[\],: \t\r\n]++)[ \t\r\n]*+([,}])"
    % (_STRING, _STRING),
    re.DOTALL,
)
"""A member whose value is a string, a number or a word, and what follows it."""
_INNER = rb'(?:[^"{}\[\]]++|%b)*+' % _STRING
_TO_BRACKET = re.compile(rb"(?:[^\"{}\[\]]++|%b|[{\[]%b[}\]])*+([{}\[\]]?)" % (_STRING, _INNER), re.DOTALL)
"""Up to the next bracket that is not of a list or an object without others inside."""
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_TO_MARK = re.compile(rb'[^"{}\[\],:]*+')


class Unsound(ValueError):
    """The text is no JSON object from its first brace to its last, or none that anybody writes."""

    def __init__(self, reason: str = "The body is not valid JSON.") -> None:
        super().__init__(reason)


class Member(NamedTuple):
    """Where one member stands, in bytes from the start of the text."""

    key: int
    key_end: int
    value: int
    value_end: int


def members(text: bytes) -> Generator[Member | None, None, None]:
    """Each member in its order; None between two steps to the same one. Raises Unsound."""
    at = text.find(b"{") + 1
    if not at or at > REACH or text[: at - 1].strip(BLANK):
        raise Unsound
    count, ended = 0, False
    while not ended:
        count += 1
        if count > MOST_MEMBERS:
            raise Unsound(f"The body has more than {MOST_MEMBERS:,} fields.")
        simple = _SIMPLE.match(text, at, at + REACH)
        if simple is not None:
            yield Member(*simple.span(1), *simple.span(2))
            ended = simple[3] == b"}"
            at = simple.end()
        else:
            at = _blanks_end(text, at)
            if count == 1 and text[at : at + 1] == b"}":
                at, ended = at + 1, True
            else:
                at, ended = yield from _member(text, at)
    at = _blanks_end(text, at)
    if at != len(text):
        raise Unsound


def _member(text: bytes, at: int) -> Generator[Member | None, None, tuple[int, bool]]:
    """The member that begins at `at`, of any size and with any value; returns where the next one begins, and
    whether there is none."""
    if text[at : at + 1] != b'"':
        raise Unsound
    key, key_end = at, (yield from _string_end(text, at + 1))
    at = _blanks_end(text, key_end)
    if text[at : at + 1] != b":":
        raise Unsound
    value = _blanks_end(text, at + 1)
    begin = text[value : value + 1]
    if begin == b'"':
        value_end = yield from _string_end(text, value + 1)
    elif begin in (b"{", b"["):
        value_end = yield from _nested_end(text, value + 1)
    else:
        value_end = yield from _scalar_end(text, value)
        value_end = value + len(text[value:value_end].rstrip(BLANK))
        if value_end == value:
            raise Unsound
    yield Member(key, key_end, value, value_end)
    at = _blanks_end(text, value_end)
    mark = text[at : at + 1]
    if mark not in (b",", b"}"):
        raise Unsound
    return at + 1, mark == b"}"


def _blanks_end(text: bytes, at: int) -> int:
    end = _end(_BLANKS, text, at)
    if end == at + REACH:
        raise Unsound(f"The body has more than {REACH // 1024} KiB of white space in one place.")
    return end


def _scalar_end(text: bytes, at: int) -> Generator[None, None, int]:
    while (end := _end(_TO_MARK, text, at)) == at + REACH:
        at = end
        yield None
    return end


def _end(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = pattern.match(text, at, at + REACH)
    return match.end() if match else at


def _string_end(text: bytes, at: int) -> Generator[None, None, int]:
    """The byte behind the closing quote of a string that begins before `at`."""
    end = text.find(b'"', at)
    if end >= 0 and text.find(b"\\", at, end) < 0:
        return end + 1
    while True:
        end = _end(_REST_OF_STRING, text, at)
        if text[end : end + 1] == b'"':
            return end + 1
        if end == at:
            raise Unsound
        at = end
        yield None


def _nested_end(text: bytes, at: int) -> Generator[None, None, int]:
    """The byte behind the bracket that closes a value whose opening one is before `at`."""
    depth, steps = 1, 0
    while True:
        match = _TO_BRACKET.match(text, at, at + REACH)
        end = match.end() if match else at
        steps += 1 + (end - at) // STEP_BYTES
        if steps >= STEPS:
            steps = 0
            yield None
        mark = match[1] if match else b""
        if mark:
            depth += 1 if mark in b"{[" else -1
            if not depth:
                return end
        elif text[end : end + 1] == b'"':  # a string that goes on beyond our reach
            end = yield from _string_end(text, end + 1)
        elif end == at:
            raise Unsound
        else:
            yield None
        at = end
