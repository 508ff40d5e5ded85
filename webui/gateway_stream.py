"""Streamed answers of the gateway, read as seldom as their reader likes, over connections that are kept.

A model writes some dozens of tokens a second, and a page shows what is new fifteen times a second. To wake
for each token costs more than all else that is done with it: what comes while the reader rests waits in the
kernel. llhttp takes the bytes apart, as in the gateway itself; the layers of httpx2 below a read cost several
times what their reader does with what was read. Framing is RFC 9112.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

import httpx2

from common.answer_parser import AnswerParser
from webui.wake_signal import Signal

POOL_IDLE_S = 60.0
"""Below the gateway's keep-alive of 75 s. The next question goes out over a connection that is there."""
TAIL_S = 1.0
"""How long an answer of which nothing more is wanted may take to end, before its connection is closed."""
CONNECT_S = 5.0
GATHERED_BYTES = 256 * 1024
"""So much ends a rest."""


class Rest(NamedTuple):
    """For how long the next read may be put off."""

    seconds: float
    listens: bool = False
    """What comes meanwhile is taken note of, without waking the reader: the time when it came is known, and
    the end of the answer ends the rest. Else it waits in the kernel."""


NO_REST = Rest(0.0)


class StreamBroken(Exception):
    """There is no connection, or it ended before the answer did, or what came is not HTTP."""


class StreamLate(StreamBroken):
    """Nothing came for too long."""


class GatewayConnection(asyncio.Protocol):
    """One connection, which carries one exchange after the other. Nothing is read before it is wanted."""

    def __init__(self, pool: "GatewayStreams") -> None:
        self.status = 0
        """0 until the head of the answer has come."""
        self.headers = httpx2.Headers()
        self.came_at = 0.0
        """When something came last, by `time.perf_counter`."""
        self.idle_since = 0.0
        self._gathered: int | None = None
        """Bytes that have come during a rest; None while there is none."""
        self._pool = pool
        self._parser = AnswerParser()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._news = Signal()
        """Something came, or the connection ended."""
        self._broken: StreamBroken | None = None
        self._free = True
        """Nobody reads: what still comes is the end of an answer whose reader has all that it wanted."""

    # -- asyncio.Protocol ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.came_at = time.perf_counter()
        if self._broken is None and not self._parser.feed(data):
            self._end(StreamBroken("the answer is not valid HTTP"))
        elif self._free:
            self._parser.body.clear()
            self._put_back()
        if self._gathered is not None and not self._parser.complete:
            self._gathered += len(data)
            if self._gathered < GATHERED_BYTES:
                return
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._parser.until_close and exc is None:
            self._parser.complete = True
        self._broken = self._broken or StreamBroken("the connection ended early")
        self._pool.forget(self)
        self._news.set()

    # -- one exchange -------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether another request can go out here."""
        fresh = time.monotonic() - self.idle_since < POOL_IDLE_S
        return self._broken is None and not self._transport.is_closing() and fresh

    def request(self, head: bytes, body: bytes) -> None:
        """Send one; its answer is read from now on."""
        self._free, self.status = False, 0
        self._parser.begin(self._take_head)
        self._transport.write(head + body)

    async def read_head(self, limit_s: float) -> None:
        """Wait for status and headers. Raises StreamBroken."""
        while not self.status:
            await self._more(limit_s)

    async def read(self, limit_s: float) -> bytes:
        """What has come of the body, as soon as there is something; none at its end. Raises StreamBroken."""
        while not self._parser.body and not self._parser.complete:
            await self._more(limit_s)
        read = b"".join(self._parser.body)
        self._parser.body.clear()
        return read

    async def rest(self, rest: Rest) -> None:
        """Let what comes gather."""
        if rest.listens:
            self._read_on()
        elif not self._transport.is_closing():
            self._transport.pause_reading()
        if rest.seconds > 0 and self._broken is None and not self._parser.complete:
            self._gathered = 0
            self._news.clear()
            try:
                await self._news.wait(rest.seconds)
            finally:
                self._gathered = None

    def close(self) -> None:
        """End it at once, and with it the gateway's work."""
        self._transport.abort()

    def release(self) -> None:
        """The reader has all that it wanted: the connection is kept if the answer ends soon."""
        self._free = True
        self._read_on()
        self._put_back()
        if self._pool.is_out(self):
            asyncio.get_running_loop().call_later(TAIL_S, self._close_unless_free)

    def _take_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, httpx2.Headers(headers)

    async def _more(self, limit_s: float) -> None:
        if self._broken is not None:
            raise self._broken
        self._read_on()
        self._news.clear()
        if not await self._news.wait(limit_s):
            self._end(StreamLate("nothing came in time"))

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _end(self, error: StreamBroken) -> None:
        self._broken = error
        self._transport.abort()
        self._news.set()

    def _put_back(self) -> None:
        if self._parser.complete and self._parser.keep and not self._parser.until_close:
            self._pool.put_back(self)

    def _close_unless_free(self) -> None:
        if self._free and self._pool.is_out(self):
            self.close()


class GatewayStreams:
    """Connections to one gateway. To be closed."""

    def __init__(self, url: str) -> None:
        self._url = httpx2.URL(url)
        self._tls: ssl.SSLContext | None = None
        self._idle: list[GatewayConnection] = []
        self._out: set[GatewayConnection] = set()

    @asynccontextmanager
    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes, limit_s: float
    ) -> AsyncIterator[GatewayConnection]:
        """Ask, and within the block read the answer, whose head has come; what was not read to its end
        ends with the block, and with it the gateway's work. `limit_s`: of silence. Raises StreamBroken."""
        head = self._head(path, headers, len(body))
        connection = await self._connection()
        self._out.add(connection)
        connection.request(head, body)
        try:
            await connection.read_head(limit_s)
            yield connection
        except BaseException:
            connection.close()
            raise
        connection.release()

    async def _connection(self) -> GatewayConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
            connection.close()
        url, loop = self._url, asyncio.get_running_loop()
        if url.scheme == "https" and self._tls is None:
            self._tls = httpx2.create_ssl_context()
        port = url.port or (443 if self._tls else 80)
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await loop.create_connection(
                    lambda: GatewayConnection(self), url.raw_host.decode(), port, ssl=self._tls
                )
        except (OSError, UnicodeError) as error:  # a TimeoutError is an OSError
            raise StreamBroken(type(error).__name__) from error
        return made

    def _head(self, path: str, headers: Mapping[str, str], size: int) -> bytes:
        given = {"host": self._url.netloc.decode("ascii"), **headers, "content-length": str(size)}
        lines = [f"POST {self._url.raw_path.decode('ascii').rstrip('/')}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in given.items()]
        if any(sign in line for line in lines for sign in "\r\n\0"):
            raise StreamBroken("a header holds the end of a line")
        return "\r\n".join([*lines, "", ""]).encode()

    def put_back(self, connection: GatewayConnection) -> None:
        """It is free for the next request."""
        if connection in self._out:
            self._out.discard(connection)
            connection.idle_since = time.monotonic()
            self._idle.append(connection)

    def is_out(self, connection: GatewayConnection) -> bool:
        """Whether an exchange of it has not ended."""
        return connection in self._out

    def forget(self, connection: GatewayConnection) -> None:
        """It has ended."""
        self._out.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close all."""
        for connection in [*self._idle, *self._out]:
            connection.close()
