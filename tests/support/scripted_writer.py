"""One streamed answer of the scripted engine, in events and chunks as its manner has them."""

import asyncio
import json
from typing import Any

from tests.support.scripted_manners import Manner


class StreamWriter:
    """Writes one stream. What a manner holds back goes out with `flush`."""

    def __init__(self, writer: asyncio.StreamWriter, manner: Manner, split: int) -> None:
        self.writer, self.manner, self.split = writer, manner, split
        self.held = b""

    async def begin(self, headers: bytes) -> None:
        """The head of the answer; `headers` are more lines."""
        manner = self.manner
        head = b"HTTP/1.1 200 OK\r\n" + headers
        if manner.content_type:
            head += f"content-type: {manner.content_type}\r\n".encode()
        head += b"connection: close\r\n" if self.until_close else b"transfer-encoding: chunked\r\n"
        self.writer.write(head + b"\r\n")
        if manner.mark:
            await self.chunk(manner.mark.encode())

    @property
    def until_close(self) -> bool:
        """Whether nothing but the end of the connection ends the answer."""
        return self.manner.framing == "close"

    async def event(self, payload: dict[str, Any] | str, name: str | None = None) -> None:
        """One event with this JSON, or with this text."""
        data = payload if isinstance(payload, str) else json.dumps(payload, **COMPACT)
        text = self.manner.event(f"{f'event: {name}' + chr(10) if name else ''}data: {data}")
        if self.manner.ends_early:
            await self.flush()
        await self.send(text.encode())

    async def send(self, data: bytes) -> None:
        """More of the answer."""
        if self.manner.framing == "one chunk" or self.manner.ends_early:
            self.held += data
        else:
            await self.chunk(data)

    async def flush(self) -> None:
        """What was held back, before something happens to the connection."""
        held, self.held = self.held, b""
        if held:
            await self.chunk(held)

    async def chunk(self, data: bytes) -> None:
        """`data` in chunks of `split` bytes, or in one."""
        size = self.split or len(data)
        for start in range(0, len(data), size):
            part = data[start : start + size]
            if self.until_close:
                self.writer.write(part)
            elif self.manner.framing == "extended chunks":
                self.writer.write(b'%06X;note="a"\r\n%s\r\n' % (len(part), part))
            else:
                self.writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await self.writer.drain()

    async def end(self) -> bool:
        """The end of the answer; whether the connection may be used again."""
        if self.manner.ends_early and self.held:
            self.held = self.held.rstrip(b"\r\n") + self.manner.line_ends[0].encode()
        await self.flush()
        if self.until_close:
            return False
        trailer = b"x-trailer: 1\r\n" if self.manner.framing == "trailer" else b""
        self.writer.write(b"0\r\n" + trailer + b"\r\n")
        await self.writer.drain()
        return True


COMPACT: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}
"""How vLLM writes JSON."""
