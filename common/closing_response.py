"""A streamed answer that is made from something which must be closed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

CLOSE_S = 5.0
"""How long closing may take when the client is gone."""


class ClosingResponse(StreamingResponse):
    """Streams `pieces` and calls `close` once it is over: sent, broken off, left, or never begun.

    Starlette's background task does not run where a client leaves, and a generator that was never begun has
    no `finally`: what stands behind it, such as a connection to another service, would stay open for good.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        close: Callable[[], Awaitable[object]],
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(pieces, status_code, headers, media_type)
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI app."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._close()
