"""Server-sent events as bytes: cut at event borders, recognise the few events the relay must know.

Events end with an empty line (https://html.spec.whatwg.org/multipage/server-sent-events.html); an
OpenAI stream ends with `data: [DONE]`. Whole events are passed on untouched and never re-encoded.
"""

import json
from typing import Any

from common.errors import ApiError, error_bytes

DONE = b"data: [DONE]\n\n"


class EventCutter:
    """Collects chunks and gives back whole events; an event split by TCP waits for its rest."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """All bytes up to the end of the last whole event; b"" when none is whole yet."""
        data = self._rest + chunk if self._rest else chunk
        lf, crlf = data.rfind(b"\n\n"), data.rfind(b"\n\r\n")
        end = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
        self._rest = data[end:] if end else data
        return data[:end]

    @property
    def pending(self) -> bytes:
        """The beginning of an event whose end has not come."""
        return self._rest


def split_events(block: bytes) -> list[bytes]:
    """Whole events of `block`, each with its empty line."""
    events, start = [], 0
    while start < len(block):
        ends = [
            at + size for mark, size in ((b"\n\n", 2), (b"\n\r\n", 3)) if (at := block.find(mark, start)) >= 0
        ]
        end = min(ends, default=len(block))
        events.append(block[start:end])
        start = end
    return events


def event_data(event: bytes) -> bytes:
    """The payload of the event's data lines; b"" for a comment."""
    lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def is_done(event: bytes) -> bool:
    """Whether this is `data: [DONE]`."""
    return event_data(event) == b"[DONE]"


def may_need_care(block: bytes) -> bool:
    """Cheap test: only blocks for which this is true must be looked at event by event."""
    return b"[DONE]" in block or b'"error"' in block or b'"abort"' in block


def event_json(event: bytes) -> dict[str, Any] | None:
    """The event's JSON object, or None for anything else."""
    try:
        value = json.loads(event_data(event))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def is_aborted(payload: dict[str, Any]) -> bool:
    """Whether a choice ended with `abort`: how vLLM reports that the engine was stopped under it."""
    choices = payload.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") == "abort" for choice in choices
    )


def error_frames(error: ApiError) -> bytes:
    """What ends a stream that failed after it began: the error, then [DONE]."""
    return b"data: " + error_bytes(error) + b"\n\n" + DONE
