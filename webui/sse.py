"""Server-sent events out of a byte stream."""


class SseDecoder:
    """Feed it chunks that may be split anywhere, also inside a Hangul syllable or between CR and LF."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        """Pieces of a line whose end has not come; each byte is joined once."""
        self.size = 0
        """Bytes of the event whose end has not come."""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[str]:
        """The `data` of every event that `chunk` completes."""
        self.size += len(chunk)
        if b"\n" not in chunk:
            self._rest.append(chunk)
            return []
        *lines, rest = b"".join((*self._rest, chunk)).split(b"\n")
        self._rest = [rest]
        events: list[str] = []
        for raw in lines:
            # Only whole lines are decoded, so a character is never split.
            line = raw.removesuffix(b"\r").decode("utf-8", errors="replace")
            if not line:
                if self._data:
                    events.append("\n".join(self._data))
                self._data = []
                self.size = 0
            elif line.startswith("data:"):
                self._data.append(line[5:].removeprefix(" "))
        return events
