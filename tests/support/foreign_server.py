"""Other people's servers, in this process: what each path answers is given, every call is counted."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ForeignServer:
    """Answers `pages` (path -> status, JSON), 404 to all else; counts what came, with and without a key."""

    pages: dict[str, tuple[int, Any]]
    key: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    with_key: Counter[str] = field(default_factory=Counter)
    url: str = ""

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        path = first.split(" ")[1]
        self.calls[path] += 1
        self.with_key[path] += "authorization" in headers
        status, body = self.pages.get(path, (404, {"detail": "Not Found"}))
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            status, body = 401, {"error": {"message": "no such key"}}
        data = json.dumps(body).encode()
        head_out = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\n"
        writer.write(head_out % status + b"content-length: %d\r\n\r\n" % len(data) + data)
        await writer.drain()
        writer.close()


def listing(*names: str, **fields: Any) -> dict[str, Any]:
    """An OpenAI list of models."""
    return {"object": "list", "data": [{"id": name, "object": "model", **fields} for name in names]}


@asynccontextmanager
async def foreign_server(
    pages: Mapping[str, tuple[int, Any]], *, key: str = ""
) -> AsyncIterator[ForeignServer]:
    """Serve while the block runs."""
    foreign = ForeignServer(dict(pages), key)
    server = await asyncio.start_server(foreign.serve_one, "127.0.0.1", 0)
    foreign.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield foreign
    finally:
        server.close()
