"""Server-sent events: cutting whole events out of a byte stream, and what the relay looks for in them.

The grammar is the SSE chapter of the HTML standard
(https://html.spec.whatwg.org/multipage/server-sent-events.html): a line ends with LF, CRLF or CR. vLLM writes
LF, and its events are passed on as they came, but for the model's name and counts that only the gateway asked
for. Streams that use CR get LF in its place at this border, so that all else knows one way to end a line.
"""

import re
from collections.abc import Iterator

import msgspec

from server.inference.usage import TokenCounts

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Longest event that is waited for: pictures come as base64 in one."""
DONE = b"data: [DONE]\n\n"
Rename = tuple[re.Pattern[bytes], bytes]
"""The engine's model name where an answer has it, and what the client gets in its place."""
_USAGE = re.compile(rb'(?<=\]),\s?"usage":\s?\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}')
"""A chunk's `usage`, which follows `choices`. In a string its quotes would be escaped: text never matches."""


_MARK = "\ufeff".encode()
"""A byte order mark, which may stand before a stream (WHATWG, 9.2.5)."""
_NO_DATA = re.compile(rb"data:\s*\n")
"""JSON text has no line feeds: this is a data line with nothing, or nothing but blanks, on it."""
_BLANK = 0x20
_NO_CHOICES = (b'"choices":[]', b'"choices": []')
LARGE_EVENT_BYTES = 128 * 1024
"""An event larger than this is searched only for the fields that tell an error or an end."""
SHOWN_BYTES = 64 * 1024
"""How much of the two ends of a large event is looked at."""
MOST_VALUES = 200_000
"""Commas or escapes in a large event that is decoded."""
MOST_BLANKS = 2_000_000
_MOST_CHOICES = 10_000
_MOST_LINES = 10_000
"""Lines in an event whose data is put together."""


def renamed(data: bytes, rename: Rename | None) -> bytes:
    """`data` with the model's name as the client knows it."""
    return rename[0].sub(rename[1], data) if rename else data


class EventCutter:
    """Collects chunks and gives back whole events, their lines ended by LF; one split by TCP waits.

    Each byte is searched once, however slowly an event grows.
    """

    __slots__ = ("_after_cr", "_begun", "_parts", "_plain", "size")

    def __init__(self) -> None:
        self.size = 0
        """Bytes of the event whose end has not come."""
        self._parts: list[bytes] = []
        self._begun = False
        """The byte order mark is behind us, or there was none."""
        self._after_cr = False
        """The last byte was a CR: a LF that follows belongs to it."""
        self._plain = False
        """Nothing waits, and the stream has been LF alone."""

    @property
    def pending(self) -> bytes:
        """The beginning of an event whose end has not come."""
        return b"".join(self._parts)

    def feed(self, chunk: bytes) -> bytes:
        """All bytes up to the end of the last whole event; b"" when none is whole yet."""
        if self._plain and chunk.endswith(b"\n\n") and b"\r" not in chunk:
            return chunk
        if not self._begun:
            chunk = self._without_mark(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        end = chunk.rfind(b"\n\n") + 2
        if end < 2:
            joint = self._parts and self._parts[-1].endswith(b"\n") and chunk.startswith(b"\n")
            end = 1 if joint else 0
        whole = b""
        if end:
            whole = b"".join((*self._parts, chunk[:end]))
            self._parts.clear()
            self.size = 0
            chunk = chunk[end:]
        if chunk:
            self._parts.append(chunk)
            self.size += len(chunk)
        self._plain = self._begun and not self._parts and not self._after_cr
        return whole

    def _without_mark(self, chunk: bytes) -> bytes:
        """The stream's first bytes without the byte order mark; b"" while it may still be coming."""
        chunk = self.pending + chunk
        self._parts.clear()
        self._begun = len(chunk) >= len(_MARK) or not _MARK.startswith(chunk)
        if self._begun:
            self.size = 0
            return chunk.removeprefix(_MARK)
        return chunk

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        """`chunk` with LF for CRLF and CR. A CR at its end counts at once: its LF may never come."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def split_events(block: bytes) -> list[bytes]:
    """Whole events of `block`, each with its empty line."""
    events = [event + b"\n\n" for event in block.split(b"\n\n")]
    events[-1] = events[-1][:-2]
    return events if events[-1] else events[:-1]


def each_event(block: bytes) -> Iterator[bytes]:
    """The same one by one, for a block of any size."""
    start = 0
    while (end := block.find(b"\n\n", start)) >= 0:
        yield block[start : end + 2]
        start = end + 2
    if start < len(block):
        yield block[start:]


def split_at(block: bytes, at: int) -> tuple[bytes, bytes]:
    """The events before the one that holds the byte `at`, and the rest."""
    start = block.rfind(b"\n\n", 0, at) + 2
    return (block[:start], block[start:]) if start > 1 else (b"", block)


def counted(block: bytes) -> tuple[bytes, int]:
    """`block` with the data of each event on one line, and how many of its events carry data: comments,
    bare `event:`, `id:` and `retry:` fields and empty lines are none.

    Events without data are left out: they bring nothing (WHATWG, 9.2.6), and openai-python reads each as
    JSON and raises."""
    events = block.count(b"\n\ndata: {") + block.startswith(b"data: {") + block.endswith(b"\n\n" + DONE)
    if block.count(b"\n") == 2 * events and block.endswith(b"\n\n"):  # as vLLM writes: nothing else is there
        return block, events
    first = block.find(b"\n")
    starts = block.startswith(b"data:")
    if starts and first == len(block) - 2 and first > 5 and block[first - 1] > _BLANK:
        return block, 1
    ends = block.count(b"\n\n")
    plain = block.count(b"\n\ndata:") + starts == ends == block.count(b"\ndata:") + starts
    if plain and not _NO_DATA.search(block):
        return block, ends
    return _counted_one_by_one(block)


def _counted_one_by_one(block: bytes) -> tuple[bytes, int]:
    kept: list[bytes] = []
    count = 0
    for event in split_events(block):
        lines = event.count(b"\ndata:") + event.startswith(b"data:")
        if lines > 1:
            event = _on_one_line(event)
        if lines and event_data(event):
            count += 1
        elif any(line and not line.startswith(b":") for line in event.split(b"\n")):
            continue
        kept.append(event)
    return b"".join(kept), count


def _on_one_line(event: bytes) -> bytes:
    """An event whose JSON is spread over several `data:` lines with it on one; other text is left alone."""
    data = event_data(event).replace(b"\n", b" ")
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return event
    others = [line for line in event.splitlines() if line and not line.startswith(b"data:")]
    return b"\n".join([*others, b"data: " + data.strip(), b"", b""])


def event_data(event: bytes) -> bytes:
    """The payload of the event's data lines; b"" for a comment."""
    if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2:
        return event[5:].strip()
    if event.count(b"\n") > _MOST_LINES:
        return b""  # JSON is not written so
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


class _Told(msgspec.Struct):
    """What tells an error or an end. msgspec steps over all other fields without making objects of them."""

    type: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    object: msgspec.Raw = msgspec.Raw(b"null")
    stop_reason: msgspec.Raw = msgspec.Raw(b"null")
    message: msgspec.Raw = msgspec.Raw(b"null")
    """Of an error that is no object of its own; so is `code`."""
    code: msgspec.Raw = msgspec.Raw(b"null")
    choices: msgspec.Raw = msgspec.Raw(b"null")


class _Choice(msgspec.Struct):
    finish_reason: object = None


_told = msgspec.json.Decoder(_Told)
_SMALL = ("type", "error", "object", "stop_reason", "message", "code")
_choices = msgspec.json.Decoder(list[_Choice])


def told(data: bytes | memoryview) -> dict[str, object]:
    """The fields of a large JSON object that tell an error or an end; {} for what is none."""
    try:
        found = _told.decode(data)
        small = {name: _small(getattr(found, name)) for name in _SMALL}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    if bytes(found.choices).count(b"{") > _MOST_CHOICES:
        return small
    try:
        reasons = [choice.finish_reason for choice in _choices.decode(found.choices)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return small
    return small | {"choices": [{"finish_reason": reason} for reason in reasons if reason is not None]}


def _small(value: msgspec.Raw) -> object:
    if len(memoryview(value)) > SHOWN_BYTES:
        return {"message": "It is too large to be shown."}
    return msgspec.json.decode(value)


def event_json(event: bytes) -> dict[str, object] | None:
    """The event's JSON object, or None for anything else."""
    try:
        value = msgspec.json.decode(event_data(event))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def has_counts(block: bytes) -> bool:
    """Whether the last `usage` of the block is an object; it is null where nothing is counted yet."""
    at = block.rfind(b'"usage"') + len(b'"usage"')
    return block[at : at + 8].lstrip(b" \t:").startswith(b"{")


def find_total(block: bytes) -> int:
    """Where the event without choices stands, which carries the token counts of the whole answer; -1 for
    nowhere."""
    at = block.find(_NO_CHOICES[0])
    return at if at >= 0 else block.find(_NO_CHOICES[1])


def counted_event(block: bytes) -> bytes:
    """The last event of the block that has a `usage`; b"" for none."""
    at = block.rfind(b'"usage"')
    return split_events(split_at(block, at)[1])[0] if at >= 0 else b""


def total_event(counted: bytes, counts: TokenCounts) -> bytes:
    """The event that ends an OpenAI stream with the counts of its whole answer, made like the event
    `counted`; b"" when they are not known."""
    payload = event_json(counted)
    if payload is None or counts.prompt is None or counts.completion is None:
        return b""
    usage = {"prompt_tokens": counts.prompt, "completion_tokens": counts.completion}
    usage["total_tokens"] = counts.prompt + counts.completion
    shared = {name: payload[name] for name in ("id", "object", "created", "model") if name in payload}
    return b"data: " + msgspec.json.encode(shared | {"choices": [], "usage": usage}) + b"\n\n"


def without_usage(block: bytes) -> bytes:
    """The block without the token counts that only the gateway asked for.

    It is called for every token: the way vLLM writes them is found without a regular expression.
    """
    before, *others = block.split(b'],"usage":{')
    kept = [before]
    for other in others:
        counts, end, rest = other.partition(b"}")
        if not end or b"{" in counts:  # objects in the counts
            return _USAGE.sub(b"", block)
        kept.append(rest)
    joined = b"]".join(kept)
    return _USAGE.sub(b"", joined) if b'"usage"' in joined else joined


LF, BRACE = b"\n{"
TOKEN_EVENT_BYTES = 2048
"""The longest one that is learnt from; vLLM's have some 300."""
