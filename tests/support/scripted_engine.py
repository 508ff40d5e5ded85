"""An OpenAI-compatible engine that misbehaves on request, for tests of whatever stands before it.

    python -m tests.support.scripted_engine --port 9000 --model dolly[,ADAPTER ...] [--key secret]

It does no model work: answers are "<model>-0 가 <model>-1 나 ..." with as many tokens as `max_tokens`, on
every route that vLLM has (scripted_routes.py); only a model called `embed` has embeddings and scores.

POST /_script {"mode": "cut_at_token:3", "gap_s": 0.01} sets how the next requests to a route that streams are
treated, and {"health": 503} what GET /health answers:

    ok                        answer as asked
    status:503                answer with this status and vLLM's error body
    stall_before_headers      take the request and send nothing
    stall_at_token:K          send K tokens, then nothing
    cut_at_token:K            send K tokens, then close the connection
    reset_at_token:K          send K tokens, then reset the connection
    abort_at_token:K          send K tokens, then finish_reason "abort" and [DONE], as vLLM does on SIGTERM
    error_at_token:K          send K tokens, then an error event
    no_done                   send all tokens, but no [DONE] (or what ends a stream of that route)
    truncate                  plain answers without a length, cut in the middle; streams as asked
    gzip                      plain answers compressed, asked or not; streams as asked
    html                      a page with status 200 instead of a plain answer; streams as asked
    bytes                     `replay` as a plain answer; streams as asked
    replay                    send the `replay` text as the stream, cut where the request's `x_cuts` say

More fields of /_script: `split` cuts every stream into HTTP chunks of so many bytes; `headers` are added to
every answer; `error` replaces the body of `status:`; `manner` is of scripted_manners.py, several
joined by `+`; `refuses` names parameters that are refused as Mistral does; `forgets` keeps no responses;
`replay` is base64.
GET /_script/log tells what came in and what was cancelled, GET /_script/last the last request to the byte;
POST /_script/release lets stalled ones go on.
"""

import argparse
import asyncio
import base64
import gzip
import json
import socket
import struct
import time
import uuid
from typing import Any, Literal

from tests.support.engine_script import Script, metrics
from tests.support.scripted_answers import (
    CONTEXT_LENGTH,
    Refusal,
    is_stream,
    tokens_or_text,
)
from tests.support.scripted_generation import aborted, failed
from tests.support.scripted_manners import combined
from tests.support.scripted_routes import ENDS_WITH_DONE, POOLING, STREAMED, WHOLE
from tests.support.scripted_writer import COMPACT, StreamWriter

LOGGED_BYTES = 65536
"""Longer bodies are kept for /_script/last alone."""
FAULTY = (*STREAMED, "/chat/completions", "/completions")
"""Routes that a scripted mode applies to."""


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
        pairs = [(k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in rest if line)]
        headers = {k.lower(): v for k, v in pairs}
        body = await self.read_body(headers)
        path, _, query = path.partition("?")
        if not path.startswith("/_script") and path not in ("/health", "/metrics"):
            encoded = base64.b64encode(body).decode("ascii")
            self.script.last = {"method": method, "path": path, "query": query, "headers": pairs}
            self.script.last |= {"body": encoded, "at_ns": time.time_ns()}
        return await self.route(method, path, headers, body)

    async def read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", 0)))
        body = b""
        while size := int((await self.reader.readline()).partition(b";")[0], 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

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
            script.split = settings.get("split", 0)
            script.headers = settings.get("headers", [])
            script.error = settings.get("error")
            script.manner = combined(*settings.get("manner", "vllm").split("+"))
            script.refuses = settings.get("refuses", [])
            script.forgets = settings.get("forgets", False)
            script.replay = base64.b64decode(settings.get("replay", ""))
            script.release.clear()
            return await self.json(200, {})
        if path == "/_script/release":
            script.release.set()
            return await self.json(200, {})
        if path == "/_script/last":
            return await self.json(200, script.last)
        if path == "/_script/log":
            seen = {"requests": script.requests, "running": script.running, "cancelled": script.cancelled}
            return await self.json(200, seen)
        if script.key and path.startswith("/v1") and headers.get("authorization") != f"Bearer {script.key}":
            return await self.json(401, {"error": "Unauthorized"})
        if path == "/v1/models":
            cards = [
                {
                    "id": name,
                    "object": "model",
                    "owned_by": "vllm",
                    "parent": parent,
                    "max_model_len": CONTEXT_LENGTH,
                }
                for name, parent in [
                    (script.model, None),
                    *((name, script.model) for name in script.adapters),
                ]
            ]
            return await self.json(200, {"object": "list", "data": cards})
        if path.startswith("/v1/responses/"):
            return await self.stored_response(path)
        if path.startswith("/v1/audio/"):
            return await self.json(200, {"text": f"{len(body)} 바이트를 들었습니다."})
        if path in FAULTY or path in WHOLE:
            try:
                asked = json.loads(body)
            except (ValueError, RecursionError):
                return await self.json(400, Refusal(400, "JSON decode error").body())
        try:
            if path in ("/tokenize", "/detokenize"):
                return await self.json(200, tokens_or_text(path, json.loads(body)))
            if path in FAULTY:
                return await self.complete(path, headers, body, asked)
            if path in WHOLE and (path not in POOLING or script.model == "embed"):
                return await self.whole(path, asked)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            # Fields of the wrong kind, which vLLM refuses one by one.
            return await self.json(400, Refusal(400, "1 validation error").body())
        return await self.json(404, {"detail": "Not Found"})

    async def stored_response(self, path: str) -> bool:
        """GET of a stored response, or its cancellation, at this engine alone."""
        _, _, _, name, *action = path.split("/")
        stored = self.script.responses.get(name)
        if stored is None:
            message = f"Response with id '{name}' not found."
            refusal = Refusal(404, message, "invalid_request_error", "response_id")
            return await self.json(404, refusal.body())
        if action and not stored["background"]:
            refusal = Refusal(400, "Cannot cancel a synchronous response.", param="response_id")
            return await self.json(400, refusal.body())
        return await self.json(200, stored | ({"status": "cancelled"} if action else {}))

    async def complete(self, path: str, headers: dict[str, str], body: bytes, asked: dict[str, Any]) -> bool:
        script = self.script
        if len(body) <= LOGGED_BYTES:
            text = body.decode("utf-8", errors="replace")
            script.requests.append({"path": path, "headers": headers, "body": text})
        if (status := script.at_token("status")) is not None:
            error = {"message": "scripted", "type": "Scripted", "param": None, "code": status}
            return await self.json(status, {"error": error} if script.error is None else script.error)
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

    def base(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What every answer to one request begins with."""
        model = asked.get("model", self.script.model)
        return {"id": f"cmpl-{uuid.uuid4().hex[:16]}", "created": 1, "model": model}

    async def whole(self, path: str, asked: dict[str, Any]) -> bool:
        """A plain answer."""
        script = self.script
        try:
            answer = WHOLE[path](script.model, asked, self.base(asked))
        except Refusal as refusal:
            return await self.json(refusal.status, refusal.body())
        if script.mode.startswith("abort"):
            for choice in answer.get("choices", []):
                choice["finish_reason"] = "abort"
            if answer.get("type") == "message":
                answer["stop_reason"] = None
        if path == "/v1/responses" and not script.forgets:
            script.responses[answer["id"]] = answer
        if script.mode == "html":
            return await self.reply(200, "text/html", b"<!doctype html><title>nginx</title>")
        if script.mode == "bytes":
            return await self.reply(200, "application/json", script.replay)
        if script.mode == "truncate":
            body = self.dumped(answer)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
            self.writer.write(head + body[: len(body) // 2])
            return False
        if script.mode == "gzip":
            packed = gzip.compress(self.dumped(answer))
            return await self.reply(200, "application/json\r\ncontent-encoding: gzip", packed)
        return await self.json(200, answer)

    async def answer(self, path: str, asked: dict[str, Any]) -> bool:
        script = self.script
        path = path if path.startswith("/v1") else f"/v1{path}"
        if script.mode == "stall_before_headers":
            await script.release.wait()
        before = asked.get("previous_response_id")
        if path == "/v1/responses" and before and before not in script.responses:
            message = f"Response with id '{before}' not found."
            return await self.json(404, Refusal(404, message, "invalid_request_error").body())
        if refused := [name for name in script.refuses if name in asked]:
            message = f"Extra inputs are not permitted: {', '.join(refused)}"
            return await self.json(422, {"object": "error", "message": message, "type": "invalid_request"})
        if (not is_stream(asked) or script.manner.plain) and script.mode != "replay":
            if script.at_token("cut_at_token") is not None:
                self.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
                return False
            return await self.whole(path, asked)
        base = self.base(asked)
        try:
            steps = list(STREAMED[path](script.model, asked, base))
        except Refusal as refusal:
            return await self.json(refusal.status, refusal.body())
        stream = StreamWriter(self.writer, script.manner, script.split)
        await stream.begin(self.extra_headers())
        if script.mode == "replay":
            return await self.replay(stream, asked.get("x_cuts") or [])
        ended = path in ENDS_WITH_DONE
        if script.mode == "no_done" and not ended:
            steps.pop()
        for step in script.manner.steps(steps):
            if step.token is not None and (over := await self.misbehave(stream, step.token, path, base)):
                return over == "whole"
            await stream.event(step.payload, step.name)
            if step.payload.get("type") == "response.completed" and not script.forgets:
                script.responses[step.payload["response"]["id"]] = step.payload["response"]
            if step.token is not None:
                script.tokens += 1
                await asyncio.sleep(script.gap_s)
        if script.mode != "no_done" and ended:
            await stream.event("[DONE]")
        return await stream.end()

    async def replay(self, stream: StreamWriter, cuts: list[int]) -> bool:
        """The recorded bytes, each part between two cuts in a chunk and a packet of its own."""
        recorded = self.script.replay
        for start, end in zip([0, *cuts], [*cuts, len(recorded)], strict=True):
            if recorded[start:end]:
                await stream.chunk(recorded[start:end])
                await asyncio.sleep(0)
        return await stream.end()

    async def misbehave(
        self, stream: StreamWriter, index: int, path: str, base: dict[str, Any]
    ) -> Literal["", "cut", "whole"]:
        """Before token `index`: "" to go on, else what has become of the connection."""
        script = self.script
        if script.mode.endswith(f"_at_token:{index}"):
            await stream.flush()
        if script.at_token("stall_at_token") == index:
            await script.release.wait()
            return ""
        if script.at_token("cut_at_token") == index:
            return "cut"
        if script.at_token("reset_at_token") == index:
            linger = struct.pack("ii", 1, 0)  # close() then sends RST instead of FIN
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return "cut"
        if script.at_token("abort_at_token") == index:
            for step in aborted(path, base):
                await stream.event(step.payload, step.name)
        elif script.at_token("error_at_token") == index:
            step = failed(path)
            await stream.event(step.payload, step.name)
        else:
            return ""
        if path in ENDS_WITH_DONE:
            await stream.event("[DONE]")
        return "whole" if await stream.end() else "cut"

    def dumped(self, payload: Any) -> bytes:
        compact = {"ensure_ascii": False} if self.script.manner.spaces else COMPACT
        return json.dumps(payload, **compact).encode()

    def extra_headers(self) -> bytes:
        return "".join(f"{name}: {value}\r\n" for name, value in self.script.headers).encode("latin-1")

    async def json(self, status: int, payload: Any) -> bool:
        return await self.reply(status, "application/json", self.dumped(payload))

    async def reply(self, status: int, content_type: str, body: bytes) -> bool:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        self.writer.write(head.encode() + self.extra_headers() + b"\r\n" + body)
        await self.writer.drain()
        return True


async def serve(port: int, script: Script, host: str = "127.0.0.1") -> None:
    """Serve until cancelled."""
    server = await asyncio.start_server(
        lambda reader, writer: Connection(script, reader, writer).serve(), host, port
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--gap-ms", type=float, default=0.0)
    args = parser.parse_args()
    model, *adapters = args.model.split(",")
    script = Script(model, args.key, tuple(adapters), gap_s=args.gap_ms / 1000)
    asyncio.run(serve(args.port, script, args.host))


if __name__ == "__main__":
    main()
