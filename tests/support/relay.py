"""A proxy without stickiness in front of several servers: each request goes to the next of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import StreamingResponse

from common.http_protocol import BoundedProtocol
from tests.support.asgi_server import serving

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass
class Relay:
    """An ASGI app."""

    servers: Sequence[str]
    only: int | None = None
    """The server that gets every request; None: each in turn."""
    asked: list[int] = field(default_factory=list)
    """Which server got each request."""
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        chosen = len(self.asked) % len(self.servers) if self.only is None else self.only
        self.asked.append(chosen)
        request = Request(scope, receive)
        path = scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        address = self.servers[chosen] + path
        headers = [pair for pair in request.headers.items() if pair[0] not in HOP_BY_HOP]
        body = await request.body()
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=None) as client,
            client.stream(request.method, address, headers=headers, content=body) as given,
        ):
            kept = {name: value for name, value in given.headers.items() if name not in HOP_BY_HOP}
            answer = StreamingResponse(given.aiter_raw(), given.status_code, kept)
            await answer(scope, receive, send)


@contextmanager
def relaying(*servers: str) -> Iterator[Relay]:
    """A relay on a port of its own, while the block runs."""
    relay = Relay(servers)
    with serving(relay, BoundedProtocol) as relay.url:
        yield relay
