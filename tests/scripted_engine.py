"""An OpenAI-compatible engine that misbehaves on request, for tests of whatever stands before it.

    python -m tests.scripted_engine --port 9000 --model dolly [--key secret]

It does no model work: answers are "<model>-0 가 <model>-1 나 ..." with as many tokens as `max_tokens`.
POST /_script {"mode": "cut_at_token:3", "gap_s": 0.01} sets how the next chat or completion requests are
treated, and {"health": 503} what GET /health answers:

    ok                        answer as asked
    status:503                answer with this status and vLLM's error body
    stall_before_headers      take the request and send nothing
    stall_at_token:K          send K tokens, then nothing
    cut_at_token:K            send K tokens, then close the connection
    reset_at_token:K          send K tokens, then reset the connection
    abort_at_token:K          send K tokens, then finish_reason "abort" and [DONE], as vLLM does on SIGTERM
    error_at_token:K          send K tokens, then an error event
    no_done                   send all tokens, but no [DONE]
GET /_script/log tells what came in and what was cancelled; POST /_script/release lets stalled ones go on.
"""

import argparse
import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

SYLLABLES = "가나다라마바사아자차카타파하"


@dataclass
class Script:
    """How to behave, and what was seen."""

    model: str
    key: str
    mode: str = "ok"
    gap_s: float = 0.0
    health: int = 200
    running: int = 0
    tokens: int = 0
    cancelled: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def at_token(self, name: str) -> int | None:
        """K of the mode `name:K`, else None."""
        mode, _, number = self.mode.partition(":")
        return int(number or 0) if mode == name else None


def token(model: str, index: int) -> str:
    """The text of one token: it says whose it is and which."""
    return f"{model}-{index} {SYLLABLES[index % len(SYLLABLES)]} "


def answer_text(model: str, tokens: int) -> str:
    """The whole answer with this many tokens."""
    return "".join(token(model, i) for i in range(tokens))


def metrics(script: Script) -> str:
    """The samples of vLLM 0.32's Prometheus page that a worker reads."""
    labels = f'{{engine="0",model_name="{script.model}"}}'
    values = {
        "num_requests_running": script.running,
        "num_requests_waiting": 0.0,
        "kv_cache_usage_perc": 0.25 if script.running else 0.0,
        "generation_tokens_total": script.tokens,
    }
    return "".join(
        f"# TYPE vllm:{name} gauge\nvllm:{name}{labels} {value}\n" for name, value in values.items()
    )


class Connection:
    """One HTTP/1.1 connection, written by hand so that it can break in every way."""

    def __init__(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.script, self.reader, self.writer = script, reader, writer

    async def serve(self) -> None:
        try:
            while await self.serve_one():
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writer.close()

    async def serve_one(self) -> bool:
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return False
        first, *rest = head.split("\r\n")
        method, path, _ = first.split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in rest if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return await self.route(method, path.partition("?")[0], headers, body)

    async def route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bool:
        script = self.script
        if path == "/health":
            return await self.json(script.health, {})
        if path == "/metrics":
            return await self.reply(200, "text/plain; version=1.0.0", metrics(script).encode())
        if path == "/_script":
            settings = json.loads(body)
            script.mode = settings.get("mode", script.mode)
            script.gap_s = settings.get("gap_s", script.gap_s)
            script.health = settings.get("health", script.health)
            script.release.clear()
            return await self.json(200, {})
        if path == "/_script/release":
            script.release.set()
            return await self.json(200, {})
        if path == "/_script/log":
            seen = {"requests": script.requests, "running": script.running, "cancelled": script.cancelled}
            return await self.json(200, seen)
        if script.key and path.startswith("/v1") and headers.get("authorization") != f"Bearer {script.key}":
            return await self.json(401, {"error": "Unauthorized"})
        if path == "/v1/models":
            return await self.json(200, {"object": "list", "data": [{"id": script.model, "object": "model"}]})
        if path == "/tokenize":
            text = "".join(f"[{m['role']}]{m['content']}" for m in json.loads(body)["messages"])
            return await self.json(200, {"tokens": [ord(c) for c in text], "count": len(text)})
        if path == "/detokenize":
            return await self.json(200, {"prompt": "".join(map(chr, json.loads(body)["tokens"]))})
        if path in ("/v1/chat/completions", "/v1/completions", "/chat/completions", "/completions"):
            return await self.complete(path, headers, body)
        return await self.json(404, {"detail": "Not Found"})

    async def complete(self, path: str, headers: dict[str, str], body: bytes) -> bool:
        script = self.script
        script.requests.append({"path": path, "headers": headers, "body": body.decode("utf-8")})
        asked = json.loads(body)
        if (status := script.at_token("status")) is not None:
            error = {"message": "scripted", "type": "Scripted", "param": None, "code": status}
            return await self.json(status, {"error": error})
        script.running += 1
        watching = asyncio.ensure_future(self.reader.read(1))
        answering = asyncio.ensure_future(self.answer(path, asked))
        try:
            await asyncio.wait({watching, answering}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                script.cancelled += 1
                return False
            return answering.result()
        finally:
            script.running -= 1
            for task in (answering, watching):
                task.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)

    async def answer(self, path: str, asked: dict[str, Any]) -> bool:
        script = self.script
        if script.mode == "stall_before_headers":
            await script.release.wait()
        count = asked.get("max_completion_tokens") or asked.get("max_tokens") or 16
        usage = {"prompt_tokens": 5, "completion_tokens": count, "total_tokens": count + 5}
        base = {"id": "cmpl-1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            reason = "abort" if script.mode.startswith("abort") else "length"
            message = {"role": "assistant", "content": answer_text(script.model, count)}
            choice = {"index": 0, "message": message, "finish_reason": reason}
            if script.at_token("cut_at_token") is not None:
                self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
                return False
            return await self.json(
                200, base | {"object": "chat.completion", "choices": [choice], "usage": usage}
            )
        self.writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for index in range(count):
            if not await self.misbehave(index, base):
                return False
            delta: dict[str, Any] = {"content": token(script.model, index)}
            if index == 0:
                delta["role"] = "assistant"
            reason = "length" if index == count - 1 else None
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            await self.event(base | {"object": "chat.completion.chunk", "choices": [choice]})
            script.tokens += 1
            await asyncio.sleep(script.gap_s)
        if (asked.get("stream_options") or {}).get("include_usage"):
            await self.event(base | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
        if script.mode != "no_done":
            await self.chunk(b"data: [DONE]\n\n")
        await self.chunk(b"")
        return True

    async def misbehave(self, index: int, base: dict[str, Any]) -> bool:
        """Before token `index`: True to go on, False when the connection is over."""
        script = self.script
        if script.at_token("stall_at_token") == index:
            await script.release.wait()
        elif script.at_token("cut_at_token") == index:
            return False
        elif script.at_token("reset_at_token") == index:
            linger = struct.pack("ii", 1, 0)  # close() then sends RST instead of FIN
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        elif script.at_token("abort_at_token") == index:
            choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "abort"}
            await self.event(base | {"object": "chat.completion.chunk", "choices": [choice]})
            await self.chunk(b"data: [DONE]\n\n")
            await self.chunk(b"")
            return False
        elif script.at_token("error_at_token") == index:
            await self.event(
                {"error": {"message": "scripted", "type": "Scripted", "param": None, "code": 500}}
            )
            await self.chunk(b"data: [DONE]\n\n")
            await self.chunk(b"")
            return False
        return True

    async def event(self, payload: dict[str, Any]) -> None:
        await self.chunk(b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n")

    async def chunk(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def json(self, status: int, payload: Any) -> bool:
        return await self.reply(status, "application/json", json.dumps(payload, ensure_ascii=False).encode())

    async def reply(self, status: int, content_type: str, body: bytes) -> bool:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        return True


async def serve(port: int, script: Script) -> None:
    """Serve until cancelled."""
    server = await asyncio.start_server(
        lambda reader, writer: Connection(script, reader, writer).serve(), "127.0.0.1", port
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--gap-ms", type=float, default=0.0)
    args = parser.parse_args()
    asyncio.run(serve(args.port, Script(args.model, args.key, gap_s=args.gap_ms / 1000)))


if __name__ == "__main__":
    main()
