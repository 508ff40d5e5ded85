"""Server-sent events out of a byte stream, for all who read the streams of our own parts (HTML, 9.2.6).

An HTTP client's lines are of no use here: they end where Unicode ends a line (U+0085, U+2028, U+2029), which
JSON leaves as it is. An event's lines end with LF or CR LF; nobody here sends a CR alone. What the gateway
passes on is read by `server/inference/sse.py`, which leaves most of it as it came.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import NamedTuple

DONE = "[DONE]"
"""The data of the last event of OpenAI's streams."""


class Event(NamedTuple):
    """One event that has come whole."""

    name: str
    """Of its `event` field; "" where there is none."""
    data: str
    """Its `data` fields, joined by LF."""


class SseDecoder:
    """Feed it chunks that may be split anywhere, also inside a Hangul syllable or between CR and LF."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        """Pieces of a line whose end has not come; each byte is joined once."""
        self.size = 0
        """Bytes of the event whose end has not come."""
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Every event that `chunk` completes. One without data is none."""
        self.size += len(chunk)
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return []
        *lines, rest = b"".join((*self._rest, chunk)).split(b"\n")
        self._rest = [rest]
        events: list[Event] = []
        for raw in lines:
            # Only whole lines are decoded, so a character is never split.
            line = raw.removesuffix(b"\r").decode("utf-8", errors="replace")
            if not line:
                if self._data:
                    events.append(Event(self._name, "\n".join(self._data)))
                self._name, self._data, self.size = "", [], 0
            elif line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
            elif line.startswith("event:"):
                self._name = line[6:].removeprefix(" ")
        return events


def events_of(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of a body, each as soon as it is whole."""
    decoder = SseDecoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)


async def read_events(chunks: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """The same of a body that is read asynchronously."""
    decoder = SseDecoder()
    async for chunk in chunks:
        for event in decoder.feed(chunk):
            yield event
