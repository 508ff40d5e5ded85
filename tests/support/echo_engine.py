"""An engine that says what it was told to, a few characters an event, in each dialect. For moderation."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODELS = ("free", "careful", "strict", "counted", "unseen")
PIECE = 4
"""Characters of an event."""
PAUSE_S = 0.002
seen = {"requests": 0, "cut": 0}
stored: dict[str, dict[str, Any]] = {}


def pieces(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def said(asked: dict[str, Any]) -> str:
    given = asked.get("messages") or asked.get("prompt") or asked["input"]
    return given if isinstance(given, str) else str(given[-1]["content"])


def whole(path: str, model: str, text: str) -> dict[str, Any]:
    base = {"id": "id-1", "created": 1, "model": model}
    if path == "/v1/messages":
        content = [{"type": "text", "text": text}]
        usage = {"input_tokens": 1, "output_tokens": 1}
        more = {"role": "assistant", "content": content, "stop_reason": "end_turn", "usage": usage}
        return base | {"type": "message"} | more
    if path == "/v1/responses":
        item = {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }
        return base | {"object": "response", "status": "completed", "output": [item]}
    if path == "/v1/completions":
        choice = {"index": 0, "text": text, "finish_reason": "stop"}
        return base | {"object": "text_completion", "choices": [choice]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return base | {"object": "chat.completion", "choices": [choice]}


def events(path: str, model: str, text: str) -> list[dict[str, Any]]:
    base = {"id": "id-1", "created": 1, "model": model}
    if path == "/v1/messages":
        begun = whole(path, model, "") | {"content": [], "stop_reason": None}
        return [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
                for piece in pieces(text)
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]
    if path == "/v1/responses":
        begun = whole(path, model, "") | {"status": "in_progress", "output": []}
        deltas: list[dict[str, Any]] = [
            {"type": "response.output_text.delta", "item_id": "m", "content_index": 0, "delta": piece}
            for piece in pieces(text)
        ]
        done = {"type": "response.completed", "response": whole(path, model, text)}
        told: list[dict[str, Any]] = [{"type": "response.created", "response": begun}, *deltas, done]
        return [event | {"sequence_number": number} for number, event in enumerate(told)]
    chunk = base | {"object": "chat.completion.chunk" if "chat" in path else "text_completion"}
    texts: list[dict[str, Any]] = [
        {"delta": {"content": p}} if "chat" in path else {"text": p} for p in pieces(text)
    ]
    last: dict[str, Any] = {"delta": {}} if "chat" in path else {"text": ""}
    choices = [*(t | {"finish_reason": None} for t in texts), last | {"finish_reason": "stop"}]
    return [chunk | {"choices": [{"index": 0} | choice]} for choice in choices]


async def stream(path: str, model: str, text: str) -> AsyncIterator[bytes]:
    over = False
    try:
        for event in events(path, model, text):
            name = f"event: {event['type']}\n" if "type" in event else ""
            yield f"{name}data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
            await asyncio.sleep(PAUSE_S)
        if "/v1/chat" in path or path == "/v1/completions":
            yield b"data: [DONE]\n\n"
        over = True
    finally:
        seen["cut"] += not over


async def answer(request: Request) -> Response:
    asked = await request.json()
    seen["requests"] += 1
    path, model, text = request.url.path, asked["model"], said(asked)
    if "request_id" in asked:
        stored[asked["request_id"]] = whole(path, model, text) | {"id": asked["request_id"]}
    if asked.get("stream"):
        return StreamingResponse(stream(path, model, text), media_type="text/event-stream")
    return JSONResponse(stored.get(asked.get("request_id")) or whole(path, model, text))


async def response(request: Request) -> Response:
    return JSONResponse(stored[request.path_params["name"]])


async def models(_request: Request) -> Response:
    data = [{"id": name, "object": "model", "owned_by": "echo"} for name in MODELS]
    return JSONResponse({"object": "list", "data": data})


async def log(_request: Request) -> Response:
    return JSONResponse(seen)


PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
app = Starlette(
    routes=[
        Route("/v1/models", models),
        Route("/_log", log),
        Route("/v1/responses/{name}", response),
        *(Route(path, answer, methods=["POST"]) for path in PATHS),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1)
