"""A pooled HTTP/1.1 client that hands an answer on by call-backs, without a task or a future per read.

It exists for the relay alone: on a streamed answer, one read from the engine becomes one call of
`Receiver.on_data`. Framing is RFC 9112 (common/answer_parser.py). Connections carry one exchange at a
time and are reused only after a whole answer.
"""

import asyncio
import socket
import ssl
import time
from collections import defaultdict, deque
from typing import Protocol, cast

from common.answer_parser import AnswerParser
from server.client.chunks import ends_with_event, sole_event
from server.upstreams.alarm import Alarm
from server.upstreams.coalescing import Coalescing
from server.upstreams.connect import Origin, open_connection

POOL_IDLE_S = 30.0
"""Below the worker's keep-alive of 75 s, so that we close an idle connection before the engine does."""
MAX_HEAD_BYTES = 64 * 1024
"""Largest header of an answer, in bytes; and the most framing that may come without a byte of body."""
PIECE_BYTES = 16 * 1024
"""How much of a stream is looked at in one turn of the loop: some milliseconds if events have three bytes."""


class Broken(Exception):
    """The connection ended, or what came is not HTTP, before the answer was whole."""

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.stale = stale
        """A reused connection that ended before a byte of the answer: the engine had closed it already."""


class Receiver(Protocol):
    """Takes one answer. The calls come from the event loop's reader and must not block or raise."""

    is_stream: bool
    """Whether the answer is a stream of events, each of which costs time; known once its head has come."""

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Status line and headers (names in lower case)."""

    def on_chunks(self, data: bytes) -> int:
        """One read that begins between two chunks. If the receiver found it to be whole chunks of an event
        each, and has taken them, how many they were; else 0, and their bodies come by `on_data`."""

    def on_data(self, data: bytes) -> None:
        """The body's bytes of one read."""

    def on_end(self) -> None:
        """The answer is whole; the connection is back in the pool."""

    def on_broken(self, error: Broken) -> None:
        """The answer will not become whole."""


class Connection(asyncio.Protocol):
    """One connection to an upstream."""

    __slots__ = (
        "_between_chunks",
        "_bodiless_bytes",
        "_head_bytes",
        "_parser",
        "_paused",
        "_receiver",
        "_scheduled",
        "_used",
        "_waiting",
        "alarm",
        "idle_since",
        "origin",
        "pool",
        "transport",
    )

    def __init__(self, pool: "ConnectionPool", origin: Origin) -> None:
        self.pool = pool
        self.origin = origin
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.alarm = Alarm()
        self.idle_since = 0.0
        self._receiver: Receiver | None = None
        self._parser = AnswerParser()
        self._head_bytes = self._bodiless_bytes = 0
        self._paused = self._between_chunks = self._used = False
        self._waiting: list[bytes] = []
        """What has been read and not been looked at. An empty deque takes ten times the memory."""
        self._scheduled = False
        """`_read_on` will be called."""

    def request(self, head: bytes, body: bytes, receiver: Receiver) -> None:
        """Send one request; `head` ends with the empty line. The answer goes to `receiver`."""
        self._receiver = receiver
        self._parser.begin(receiver.on_head)
        self._head_bytes = self._bodiless_bytes = 0
        self._between_chunks = False
        if len(body) <= 65536:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])

    @property
    def until_close(self) -> bool:
        """Whether the body of the answer ends with the connection."""
        return self._parser.until_close

    def abandon(self) -> None:
        """Nobody waits for the answer any more: close, which makes the engine stop its work."""
        self._receiver = self._parser.on_head = None
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        """Read no more until `resume`: the client is slower than the engine."""
        self._paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if not self._scheduled:
            self._read_on()

    def acknowledge_less(self) -> None:
        """Let the kernel acknowledge every other small segment instead of each as soon as it is read: a tenth
        of what a streamed token costs goes into these packets.

        For an engine that does not wait for them (TCP_NODELAY). The kernel goes back to its usual way by
        itself when more than 40 ms pass between two segments.
        """
        if hasattr(socket, "TCP_QUICKACK") and (connection := self.transport.get_extra_info("socket")):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    # -- asyncio.Protocol ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:  # an idle connection must be silent
            self.transport.abort()
            return
        if self._between_chunks:
            chunks = receiver.on_chunks(data)
            if chunks:  # llhttp need not see what leaves it where it was
                self.pool.coalescing.read(chunks)
                return
            body = sole_event(data)
            if body:
                self.pool.coalescing.read(1)
                receiver.on_data(body)
                return
            self._between_chunks = False
        if len(data) > PIECE_BYTES or self._waiting:
            self._read_in_turns(data)
        else:
            self._read(data, receiver)

    def _read_in_turns(self, data: bytes) -> None:
        """Take one piece, and the others after the rest of the loop has had its turn: each may hold
        thousands of events. Nothing is read meanwhile, as the loop would read for as long as anything
        comes."""
        begun = bool(self._waiting)
        pieces = memoryview(data)
        self._waiting.extend(bytes(pieces[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES))
        self.transport.pause_reading()
        if not begun:
            self._read_next()

    def _read_next(self) -> None:
        """A piece of what waits, or all of it where it is no stream; then read on, in another turn."""
        while self._waiting and (receiver := self._receiver) is not None:
            if self._paused:
                return  # `resume` goes on
            self._read(self._waiting.pop(0), receiver)
            if receiver.is_stream:
                break
        if self._receiver is None and self._waiting:  # it sends more than an answer
            self._waiting.clear()
            self.transport.abort()
        if not self.transport.is_closing():
            self._between_chunks = self._between_chunks and not self._waiting
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        self._scheduled = False
        if self._paused or self.transport.is_closing():
            return
        if self._waiting:
            self._read_next()
        else:
            self.transport.resume_reading()

    def _read(self, data: bytes, receiver: Receiver) -> None:
        parser = self._parser
        if not parser.status:
            self._head_bytes += len(data)
        if not parser.feed(data):
            self._break("the answer is not valid HTTP")
            return
        if not parser.status and self._head_bytes > MAX_HEAD_BYTES:
            self._break("the answer's header is too large")
            return
        if not parser.body:
            self._bodiless_bytes += len(data)
            if self._bodiless_bytes > MAX_HEAD_BYTES and parser.status and not parser.complete:
                self._break("the answer's framing or trailer is too large")
                return
        else:
            self._bodiless_bytes = 0
            parts = parser.body
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._between_chunks = ends_with_event(data, parts[-1])
            if self._between_chunks and not parser.complete:
                self.pool.coalescing.read(len(parts))
            parts.clear()
            receiver.on_data(body)
        if parser.complete and self._receiver is receiver:
            self._finish(receiver)

    def connection_lost(self, exc: Exception | None) -> None:
        self.pool.forget(self)
        self.alarm.stop()
        self._waiting.clear()
        self._parser.close()
        receiver = self._receiver
        if receiver is None:
            return
        self._receiver = None
        if self.until_close and exc is None:
            receiver.on_end()
            return
        stale = self._used and not self._head_bytes
        receiver.on_broken(Broken("the connection ended early", stale=stale))

    def _finish(self, receiver: Receiver) -> None:
        self._receiver = self._parser.on_head = self.alarm.ring = None
        self._used = True
        if self._parser.keep and not self._parser.until_close:
            if self._paused:  # the answer was whole before its client had taken it
                self.resume()
            self.pool.put_back(self)
        else:
            self.transport.close()
        receiver.on_end()

    def _break(self, reason: str) -> None:
        receiver, self._receiver, self._parser.on_head = self._receiver, None, None
        self._parser.body.clear()
        self.transport.abort()
        if receiver is not None:
            receiver.on_broken(Broken(reason))


class ConnectionPool:
    """Idle connections by origin, the most recently used first. One per gateway process."""

    def __init__(self, connect_timeout_s: float, coalescing: Coalescing | None = None) -> None:
        self.coalescing = coalescing or Coalescing()
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[Origin, deque[Connection]] = defaultdict(deque)
        self._open: set[Connection] = set()
        self._tls: ssl.SSLContext | None = None

    def idle(self, origin: Origin) -> Connection | None:
        """A connection that is open and free, or None."""
        waiting = self._idle.get(origin)
        while waiting:
            connection = waiting.pop()
            fresh = time.monotonic() - connection.idle_since < POOL_IDLE_S
            if fresh and not connection.transport.is_closing():
                return connection
            connection.transport.close()
        return None

    async def connect(self, origin: Origin) -> Connection:
        """A new connection. Raises ConnectFailed."""
        limit_s = origin.connect_timeout_s or self._connect_timeout_s
        connection = await open_connection(
            origin, lambda: Connection(self, origin), self._tls_context, limit_s
        )
        self._open.add(connection)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def put_back(self, connection: Connection) -> None:
        """The connection is free for the next request."""
        connection.idle_since = time.monotonic()
        self._idle[connection.origin].append(connection)

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self._open.discard(connection)
        waiting = self._idle.get(connection.origin)
        if waiting is not None:
            if connection in waiting:
                waiting.remove(connection)
            if not waiting:
                del self._idle[connection.origin]

    def close_idle(self) -> None:
        """Close what has been idle for too long; to be called every few seconds."""
        limit = time.monotonic() - POOL_IDLE_S
        for waiting in list(self._idle.values()):
            while waiting and waiting[0].idle_since < limit:
                waiting.popleft().transport.close()

    def close(self) -> None:
        """Close everything."""
        for connection in list(self._open):
            connection.abandon()
