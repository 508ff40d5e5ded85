"""Server-sent events as bytes: cut at event borders, recognise the few events the relay must know.

Events end with an empty line (https://html.spec.whatwg.org/multipage/server-sent-events.html). An OpenAI
stream ends with `data: [DONE]`, a Responses stream with response.completed, .incomplete or .failed, an
Anthropic one with message_stop. Whole events are passed on untouched and never re-encoded.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from common.errors import ApiError, error_bytes
from server.chunks import SMALL, WHOLE_CHUNKS, size_line
from server.routes import Dialect

DONE = b"data: [DONE]\n\n"
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
Rename = tuple[re.Pattern[bytes], bytes]
"""The engine's model name where an answer has it, and what the client gets in its place."""
_EVENT = re.compile(rb".*?\n\r?\n|.+", re.DOTALL)
_USAGE = re.compile(rb'(?<=\]),\s?"usage":\s?\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}')
"""A chunk's `usage`, which follows `choices`. In a string its quotes would be escaped: text never matches."""


_NO_CHOICES = (b'"choices":[]', b'"choices": []')
NO_STOP_REASON = re.compile(rb'"stop_reason":\s?null')


def renamed(data: bytes, rename: Rename | None) -> bytes:
    """`data` with the model's name as the client knows it."""
    return rename[0].sub(rename[1], data) if rename else data


class EventCutter:
    """Collects chunks and gives back whole events; an event split by TCP waits for its rest."""

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = b""
        """The beginning of an event whose end has not come."""

    def feed(self, chunk: bytes) -> bytes:
        """All bytes up to the end of the last whole event; b"" when none is whole yet."""
        if not self.pending and chunk.endswith(b"\n\n"):
            return chunk
        data = self.pending + chunk if self.pending else chunk
        lf, crlf = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
        end = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
        self.pending = data[end:] if end else data
        return data[:end]


def split_events(block: bytes) -> list[bytes]:
    """Whole events of `block`, each with its empty line."""
    if b"\r" not in block:
        events = [event + b"\n\n" for event in block.split(b"\n\n")]
        events[-1] = events[-1][:-2]
        return events if events[-1] else events[:-1]
    return _EVENT.findall(block)


def split_at(block: bytes, at: int) -> tuple[bytes, bytes]:
    """The events before the one that holds the byte `at`, and the rest."""
    lf, crlf = block.rfind(b"\n\n", 0, at), block.rfind(b"\n\r\n", 0, at)
    start = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
    return block[:start], block[start:]


def event_data(event: bytes) -> bytes:
    """The payload of the event's data lines; b"" for a comment."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def first_to_care_for(block: bytes, dialect: Dialect = "openai") -> int:
    """Cheap test: where the first event that must be looked at may be, in bytes; -1 for none."""
    marks = _CARE[dialect]
    for mark in marks:
        if mark in block:
            return min(at for mark in marks if (at := block.find(mark)) >= 0)
    return -1


def is_last(event: bytes, dialect: Dialect = "openai") -> bool:
    """Whether this event says that the stream has ended as it should."""
    data = event_data(event)
    if data == b"[DONE]":
        return dialect != "anthropic"
    if dialect == "openai":
        return False
    payload = event_json(event)
    kind = payload.get("type") if payload else None
    return isinstance(kind, str) and b'"%b"' % kind.encode() in _LAST[dialect]


def event_json(event: bytes) -> dict[str, Any] | None:
    """The event's JSON object, or None for anything else."""
    try:
        value = msgspec.json.decode(event_data(event))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_aborted(payload: dict[str, Any]) -> bool:
    """Whether the answer ended because the engine was stopped under it: vLLM then says `abort`, and in
    Anthropic's dialect, which has no such word, ends without a stop_reason."""
    choices = payload.get("choices")
    if isinstance(choices, list):
        return any(isinstance(choice, dict) and choice.get("finish_reason") == "abort" for choice in choices)
    if payload.get("type") == "message_delta":
        delta = payload.get("delta")
        return isinstance(delta, dict) and delta.get("stop_reason") is None
    return payload.get("type") == "message" and payload.get("stop_reason") is None


def is_error(payload: dict[str, Any]) -> bool:
    """Whether this is an error event of any dialect. A Responses object carries `error` as a plain field."""
    return payload.get("type") == "error" or (
        bool(payload.get("error")) and payload.get("object") != "response"
    )


def find_total(block: bytes) -> int:
    """Where the event without choices stands, which carries the token counts of the whole answer; -1 for
    nowhere."""
    at = block.find(_NO_CHOICES[0])
    return at if at >= 0 else block.find(_NO_CHOICES[1])


def without_usage(block: bytes) -> bytes:
    """The block without the token counts that only the gateway asked for.

    It is called for every token: the way vLLM writes them is found without a regular expression.
    """
    kept, at = b"", 0
    while (start := block.find(b'],"usage":{', at)) >= 0:
        end = block.find(b"}", start)
        if end < 0 or block.find(b"{", start + 11, end) >= 0:  # objects in the counts
            return _USAGE.sub(b"", block)
        kept += block[at : start + 1]
        at = end + 1
    kept += block[at:]
    return _USAGE.sub(b"", kept) if b'"usage"' in kept else kept


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """How the events of one stream look that bring text and nothing else, learnt from one of them.

    All bytes but the text and the counts are the same in each. A quote inside a JSON string is escaped, so
    `middle`, which begins with the text's closing quote, cannot be part of the text.
    """

    start: bytes
    """From `data:` to the text's opening quote."""
    middle: bytes
    """From the text's closing quote to the brace that opens the counts."""
    head: bytes
    """What the client gets before the first text of a chunk,"""
    between: bytes
    """between two texts,"""
    tail: bytes
    """and after the last one, with the chunk's end."""
    frame_size: int
    """Bytes of a client's chunk, without its own framing, that are not in `between.join(texts)`."""

    def relayed(self, data: bytes) -> tuple[bytes, int]:
        """The events of `data` without their counts as one chunk (RFC 9112, 7.1), and how many they are, if
        `data` is whole chunks that hold one such event each and nothing else; else b"" and 0.

        This is all that is done to most tokens. A braceless object ends at the first brace, and JSON text
        has no line feeds, so what is found between the known parts can be nothing but text and counts.
        Searching whole bytes objects is what Python is quickest with here.
        """
        chunks = data.rsplit(_CHUNK_END)
        if chunks.pop():
            return b"", 0
        texts = []
        for chunk in chunks:
            event, _, counts = chunk.rpartition(self.middle)
            line, _, text = event.partition(self.start)
            size = len(chunk) + len(_CHUNK_END)
            if (
                size >= SMALL
                or line != WHOLE_CHUNKS[size]
                or _LF in text
                or _LF in counts
                or _BRACE in counts
            ):
                return b"", 0
            texts.append(text)
        joined = self.between.join(texts)
        return size_line(len(joined) + self.frame_size) + self.head + joined + self.tail, len(chunks)


_LF, _BRACE = b"\n{"
_CHUNK_END = b"}}\n\n\r\n"
"""Of the counts, the event and the chunk."""
_COUNTS = b',"usage":{'
_TOKEN_EVENT = re.compile(
    rb'(data: \{"id":[^{}]*"choices":\[\{"index":\d+,(?:"delta":\{"content"|"text"):")(?:[^"\\]|\\.)*'
    rb'("[^\[\]]*"finish_reason":null[^\[\]]*\],"usage":\{)'
    rb'"prompt_tokens":\d+,[^{}]*\}\}\n\n'
)


def token_event(event: bytes, rename: Rename | None = None) -> TokenEvent | None:
    """What events like this one look like, when it is a text event of vLLM with counts; else None.

    The client gets them with the model's name as `rename` has it, which stands before the text.
    """
    found = _TOKEN_EVENT.fullmatch(event)
    if found is None or first_to_care_for(found[1] + found[2]) >= 0:
        return None
    start, middle = found[1], found[2]
    head = renamed(start, rename)
    close = middle.removesuffix(_COUNTS) + b"}\n\n"
    return TokenEvent(start, middle, head, close + head, close + b"\r\n", len(head) + len(close))


def error_frames(error: ApiError, dialect: Dialect = "openai") -> bytes:
    """What ends a stream that failed after it began: the error, then [DONE] where the dialect has it."""
    if dialect == "anthropic":
        return b"event: error\ndata: " + anthropic_error_bytes(error) + b"\n\n"
    if dialect == "responses":
        body = {"type": "error", "code": error.code, "message": str(error), "param": error.param}
        return b"event: error\ndata: " + msgspec.json.encode(body) + b"\n\n"
    return b"data: " + error_bytes(error) + b"\n\n" + DONE


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
