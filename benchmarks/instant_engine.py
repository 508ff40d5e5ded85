"""An OpenAI-compatible engine that answers as fast as a socket can: what stands before it is what costs.

python benchmarks/instant_engine.py --port 9101 [--gap-ms 20]

`max_tokens` is the number of streamed deltas. Eight of them are written before the loop turns, as an engine
under load does, unless --gap-ms puts a pause between them.
"""

import argparse
import asyncio
import json
from typing import Any, cast

import httptools
import uvloop

TOKENS_A_TURN = 8
TEXT = "가나 "


def event(payload: dict[str, Any] | str) -> bytes:
    """One server-sent event as one HTTP chunk."""
    data = (
        payload
        if isinstance(payload, str)
        else json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    )
    body = b"data: " + data.encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(body), body)


class Engine(asyncio.Protocol):
    """One connection."""

    gap_s = 0.0

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""
        self.url = b""
        self.task: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body = self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.url not in (b"/v1/chat/completions", b"/v1/completions"):
            listed = {"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": "bench"}]}
            self.answer(listed if self.url == b"/v1/models" else {})
            return
        asked = json.loads(self.body)
        if asked.get("stream"):
            is_chat = self.url == b"/v1/chat/completions"
            self.task = asyncio.ensure_future(self.stream(asked, is_chat))
        else:
            count = asked.get("max_tokens", 16)
            message = {"role": "assistant", "content": TEXT * count}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "length"}
            usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": count + 9}
            head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"]}
            self.answer(head | {"choices": [choice], "usage": usage})

    def answer(self, payload: dict[str, Any]) -> None:
        body = json.dumps(payload, ensure_ascii=False).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)

    async def stream(self, asked: dict[str, Any], is_chat: bool) -> None:
        """Text completions are what FastChat's workers ask for."""
        kind = "chat.completion.chunk" if is_chat else "text_completion"
        head = {"id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"]}
        count = asked.get("max_tokens", 16)
        options = asked.get("stream_options") or {}
        usage = {"prompt_tokens": 9, "completion_tokens": count, "total_tokens": count + 9}
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for index in range(count):
            if self.gap_s:
                await asyncio.sleep(self.gap_s)
            elif index % TOKENS_A_TURN == TOKENS_A_TURN - 1:
                await asyncio.sleep(0)
            await self.writable.wait()
            reason = "length" if index == count - 1 else None
            delta = {"content": TEXT} if index else {"role": "assistant", "content": TEXT}
            said = {"delta": delta} if is_chat else {"text": TEXT}
            choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
            counted = (
                {"usage": usage | {"completion_tokens": index + 1, "total_tokens": index + 10}}
                if options.get("continuous_usage_stats")
                else {}
            )
            self.transport.write(event(head | {"choices": [choice]} | counted))
        if options.get("include_usage"):
            self.transport.write(event(head | {"choices": [], "usage": usage}))
        self.transport.write(event("[DONE]") + b"0\r\n\r\n")


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gap-ms", type=float, default=0.0)
    args = parser.parse_args()
    Engine.gap_s = args.gap_ms / 1000
    uvloop.run(serve(args.port))


if __name__ == "__main__":
    main()
