"""Connections to the gateway whose next read may be put off, so that one read takes what several would.

A model writes some dozens of tokens a second, and a page shows what is new fifteen times a second. To wake
for each token costs more than all else that is done with it. What comes meanwhile waits in the kernel.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpcore2
import httpx2

POOL_IDLE_S = 60.0
"""Below the gateway's keep-alive of 75 s. The next question goes out over a connection that is there."""
Rest = Callable[[], Awaitable[None]]
"""Waits for as long as the next read may be put off."""


class UnhurriedStream(httpcore2.AsyncNetworkStream):
    """One connection."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._rest: Rest | None = None

    @asynccontextmanager
    async def resting(self, rest: Rest) -> AsyncIterator[None]:
        """Within the block each read rests before."""
        self._rest = rest
        try:
            yield
        finally:
            self._rest = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore2's
        """At most `max_bytes`, as soon as there is something; none at the end."""
        if self._rest is not None:
            await self._rest()
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore2's
        """All of it."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(self, *given: Any, **named: Any) -> httpcore2.AsyncNetworkStream:
        """The same connection, encrypted."""
        return UnhurriedStream(await self._stream.start_tls(*given, **named))

    def get_extra_info(self, info: str) -> Any:
        """What the pool asks of the socket."""
        return self._stream.get_extra_info(info)


class UnhurriedBackend(httpcore2.AnyIOBackend):
    """Opens them."""

    async def connect_tcp(self, *given: Any, **named: Any) -> httpcore2.AsyncNetworkStream:
        """A connection. Raises httpcore2.ConnectError and ConnectTimeout."""
        return UnhurriedStream(await super().connect_tcp(*given, **named))


def unhurried_transport() -> httpx2.AsyncHTTPTransport:
    """As many connections as are needed. A proxy in the environment is for the internet, not for the way to
    our own gateway."""
    transport = httpx2.AsyncHTTPTransport(trust_env=False)
    # httpx2 has no argument for httpcore2's backend.
    transport._pool = httpcore2.AsyncConnectionPool(
        ssl_context=httpx2.create_ssl_context(),
        max_connections=None,
        keepalive_expiry=POOL_IDLE_S,
        network_backend=UnhurriedBackend(),
    )
    return transport


@asynccontextmanager
async def reads_of(response: httpx2.Response, rest: Rest | None) -> AsyncIterator[None]:
    """Within the block the reads of a response rest before."""
    stream = response.extensions.get("network_stream")
    if rest is None or not isinstance(stream, UnhurriedStream):
        yield
        return
    async with stream.resting(rest):
        yield
