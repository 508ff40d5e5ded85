"""How each API says that a stream ends, fails or still lives.

An OpenAI stream ends with `data: [DONE]`, a Responses stream with response.completed, .incomplete or .failed,
an Anthropic one with message_stop.
"""

import re

import msgspec

from common.errors import ApiError, error_bytes
from server.client.routes import Dialect
from server.inference.failed_response import ResponseSeen, failed_response
from server.inference.sse import DONE, MOST_BLANKS, MOST_VALUES, SHOWN_BYTES, event_data, event_json, told

_LAST: dict[Dialect, tuple[bytes, ...]] = {
    "openai": (b"[DONE]",),
    "responses": (b'"response.completed"', b'"response.incomplete"', b'"response.failed"', b"[DONE]"),
    "anthropic": (b'"message_stop"',),
}

_FAILED = (b'"error"', b'"abort"')

_CARE: dict[Dialect, tuple[bytes, ...]] = {
    "openai": (*_LAST["openai"], *_FAILED),
    "responses": (*_LAST["responses"], *_FAILED),
    "anthropic": (*_LAST["anthropic"], *_FAILED, b'"message_delta"'),
}

_CARE_PATTERNS: dict[Dialect, re.Pattern[bytes]] = {
    dialect: re.compile(b"|".join(map(re.escape, marks))) for dialect, marks in _CARE.items()
}

_BROKEN = ("abort", "error")
"""Reasons to finish that no whole answer has; OpenRouter and newer vLLMs say `error`."""
ABORTED = re.compile(rb'"finish_reason":\s?"(?:abort|error)"')
NO_STOP_REASON = re.compile(rb'"stop_reason":\s?null')


def first_to_care_for(block: bytes, dialect: Dialect = "openai") -> int:
    """Cheap test: where the first event that must be looked at may be, in bytes; -1 for none."""
    return min((at for mark in _CARE[dialect] if (at := block.find(mark)) >= 0), default=-1)


def next_to_care_for(block: bytes, start: int, dialect: Dialect = "openai") -> int:
    """The same from `start` on, in one pass: for blocks that hold one of the marks at least."""
    found = _CARE_PATTERNS[dialect].search(block, start)
    return found.start() if found else -1


def large_event_json(event: bytes, dialect: Dialect) -> dict[str, object] | None:
    """The fields of a large event that tell an error or an end; {} where its two ends have none of the words
    that these have. None for one with so many values that finding them would take long."""
    ends = event[:SHOWN_BYTES], event[-SHOWN_BYTES:]
    if not any(mark in end for mark in _CARE[dialect] for end in ends):
        return {}
    if event.count(b",") > MOST_VALUES or event.count(b"\\") > MOST_VALUES:
        return None
    if event.count(b" ") > MOST_BLANKS:
        return None
    return told(memoryview(event)[event.find(b"data:") + 5 :])  # without a copy; JSON is on one line


def is_last(event: bytes, dialect: Dialect = "openai") -> bool:
    """Whether this event says that the stream has ended as it should."""
    data = event_data(event)
    if data == b"[DONE]":
        return dialect != "anthropic"
    if dialect == "openai":
        return False
    payload = event_json(event)
    return payload is not None and is_last_kind(payload.get("type"), dialect)


def is_last_kind(kind: object, dialect: Dialect) -> bool:
    """Whether an event whose `type` is `kind` ends the stream."""
    return isinstance(kind, str) and b'"%b"' % kind.encode() in _LAST[dialect]


def is_aborted(payload: dict[str, object]) -> bool:
    """Whether the answer ended because the engine was stopped under it: vLLM then says `abort`, and in
    Anthropic's dialect, which has no such word, ends without a stop_reason."""
    choices = payload.get("choices")
    if isinstance(choices, list):
        return any(isinstance(choice, dict) and choice.get("finish_reason") in _BROKEN for choice in choices)
    if payload.get("type") == "message_delta":
        delta = payload.get("delta")
        return isinstance(delta, dict) and delta.get("stop_reason") is None
    return payload.get("type") == "message" and payload.get("stop_reason") is None


def is_error(payload: dict[str, object]) -> bool:
    """Whether this is an error event of any dialect: FastChat and older vLLMs have a flat one with the object
    `error`. A Responses object carries `error` as a plain field."""
    return "error" in (payload.get("type"), payload.get("object")) or (
        bool(payload.get("error")) and payload.get("object") != "response"
    )


def error_frames(error: ApiError, dialect: Dialect = "openai", seen: ResponseSeen | None = None) -> bytes:
    """What ends a stream that failed after it began: the error, then [DONE] where the dialect has it. `seen`
    is what the client of a Responses stream has been sent so far."""
    if dialect == "anthropic":
        return b"event: error\ndata: " + anthropic_error_bytes(error) + b"\n\n"
    if dialect == "responses":
        return failed_response(error, seen or ResponseSeen())
    return b"data: " + error_bytes(error) + b"\n\n" + DONE


KEEP_ALIVE: dict[Dialect, bytes] = {
    "openai": b": keep-alive\n\n",
    "responses": b": keep-alive\n\n",
    "anthropic": b'event: ping\ndata: {"type": "ping"}\n\n',
}
"""What a stream may be sent before its first event, to show proxies and clients that it lives: a comment, or
Anthropic's own event for it (https://docs.anthropic.com/en/api/messages-streaming)."""

ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""https://docs.anthropic.com/en/api/errors"""


def anthropic_error_bytes(error: ApiError) -> bytes:
    """The error object of Anthropic's API."""
    kind = ANTHROPIC_TYPES.get(error.status, "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": str(error)}})
