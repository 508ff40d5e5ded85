"""An answer whose bytes are remembered on the way to the client, for a conversation that is kept.

To an exchange it is the client's connection, and it passes everything on in the same call.
What is remembered is neither looked at nor copied here: that is done later, in a thread.
"""

from collections.abc import Callable
from dataclasses import dataclass

from server.client.chunks import size_line
from server.client.protocol import ClientConnection, Phase

MOST_BYTES = 64 * 1024 * 1024
"""Of all conversations together that are under way or not written yet, in one process."""
LARGEST_BYTES = 4 * 1024 * 1024
"""Of one conversation: request and answer, as they came."""


@dataclass(slots=True)
class Room:
    """Memory of one process's conversations."""

    most: int = MOST_BYTES
    taken: int = 0


class RecordedClient:
    """Has the face of a ClientConnection towards exchanges."""

    __slots__ = ("_client", "_room", "chunked", "given_up", "pieces", "size", "streamed")

    def __init__(self, client: ClientConnection, room: Room, request_bytes: int) -> None:
        self._client = client
        self._room = room
        self.chunked = client.chunked
        self.pieces: list[bytes] = []
        """The answer's body; of a stream in chunks (RFC 9112, 7.1)."""
        self.streamed = False
        self.size = 0
        """Bytes that it takes of the room."""
        self.given_up = ""
        """Why nothing is remembered any more; "" while something is."""
        self._take(request_bytes)

    def _take(self, size: int, *pieces: bytes) -> None:
        if self.given_up:
            return
        self.size += size
        self._room.taken += size
        self.pieces += pieces
        if self.size > LARGEST_BYTES:
            self._give_up("too_large")
        elif self._room.taken > self._room.most:
            self._give_up("no_room")

    def _give_up(self, reason: str) -> None:
        self.release()
        self.given_up = reason

    def release(self) -> None:
        """Nothing is remembered any more."""
        self._room.taken -= self.size
        self.size, self.pieces = 0, []

    # -- what an exchange sees ----------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        """As with the client."""
        return self._client.phase

    @property
    def gone(self) -> bool:
        """As with the client."""
        return self._client.gone

    @property
    def status(self) -> int:
        """As with the client."""
        return self._client.status

    @property
    def writable(self) -> bool:
        """As with the client."""
        return self._client.writable

    @property
    def on_writable(self) -> Callable[[], None] | None:
        """As with the client."""
        return self._client.on_writable

    @on_writable.setter
    def on_writable(self, go_on: Callable[[], None] | None) -> None:
        self._client.on_writable = go_on

    def hold(self, headers: bytes, sign: bytes) -> None:
        """A sign of life is no part of an answer."""
        self._client.hold(headers, sign)

    def answer(self, status: int, headers: bytes, *body: bytes) -> None:
        """A whole answer."""
        self._take(sum(map(len, body)), *body)
        self._client.answer(status, headers, *body)

    def start(self, status: int, headers: bytes, first: bytes) -> None:
        """A stream begins."""
        self.streamed = True
        self._take_framed(first)
        self._client.start(status, headers, first)

    def write(self, data: bytes) -> None:
        """More of the stream."""
        self._take_framed(data)
        self._client.write(data)

    def write_chunk(self, chunk: bytes) -> bool:
        """More of the stream, framed already."""
        self._take(len(chunk), chunk)
        return self._client.write_chunk(chunk)

    def end(self, data: bytes = b"") -> None:
        """The last bytes of the stream."""
        if data:
            self._take_framed(data)
        self._client.end(data)

    def _take_framed(self, data: bytes) -> None:
        if data:
            self._take(len(data), size_line(len(data)), data, b"\r\n")
