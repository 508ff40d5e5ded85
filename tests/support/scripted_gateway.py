"""A small gateway whose answers are scripted: the far side of the web UI's browser tests.

    python tests/support/scripted_gateway.py PORT

It speaks the gateway's HTTP contract with real streams. What a model does is in its name: see `SCRIPTS`.
A test steers and inspects it under /script/: open a gate, change the model list, read what arrived.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from common.errors import error_object

KOREAN = (
    "머신러닝은 데이터에서 규칙을 찾는 방법 전체를 가리키고, 딥러닝은 그중에서 **여러 층의 신경망**을 쓰는 "
    "방법입니다.\n\n1. 머신러닝은 사람이 고른 특징을 쓰는 일이 많습니다.\n2. 딥러닝은 특징까지 데이터에서 "
    "스스로 배웁니다.\n3. 그래서 딥러닝에는 더 많은 데이터와 계산이 필요합니다."
)
WORDY = (
    "머신러닝과 딥러닝의 차이는 다음과 같습니다. 머신러닝은 기계가 학습하는 것이며 "
    "딥러닝은 깊게 학습하는 것입니다. "
    "기계가 학습하는 것은 기계 학습이라고도 합니다.\n\n```python\nmodel.fit(x, y)  # 학습\n```"
)


@dataclass(frozen=True)
class Script:
    """What one model does: `tokens` with `delay_s` between them, then `end`."""

    delay_s: float = 0.01
    tokens: int = 20
    words: str = ""
    end: str = "stop"
    """A finish reason, or: error (frame in the stream), silence (no end mark), gate (waits), 4xx/5xx code."""
    reasoning: str = ""
    """Comes before the words."""
    echoes: bool = False
    """Answers with the question."""
    gate_after: int | None = None
    """Wait for POST /script/open after this many tokens."""


SCRIPTS = {
    "demo-base": Script(delay_s=0.02, words=WORDY),
    "demo-dolly": Script(delay_s=0.01, words=KOREAN),
    "gpt-test": Script(delay_s=0.01, words=KOREAN),
    "fast": Script(),
    "gated": Script(gate_after=5, tokens=10),
    "gated-too": Script(gate_after=5, tokens=10),
    "endless": Script(tokens=10**6),
    "short": Script(end="length"),
    "breaks": Script(tokens=4, end="error"),
    "silent": Script(tokens=4, end="silence"),
    "wrong-key": Script(end="upstream_auth_failed"),
    "too-slow": Script(end="upstream_timeout"),
    "loading": Script(end="model_not_ready"),
    "dead": Script(end="upstream_failed"),
    "limited": Script(end="rate_limit_exceeded"),
    "gone": Script(end="model_not_found"),
    "images": Script(
        words='그림 ![x](http://203.0.113.9/a.png) <img src="http://203.0.113.9/b.png"> '
        "<script>fetch('http://203.0.113.9/c')</script> `<b>코드</b>` 끝."
    ),
    "echo": Script(echoes=True),
    "steady": Script(delay_s=0.02, tokens=150),
    "thinks": Script(reasoning="먼저 <b>곰곰이</b> 생각합니다.", words="그래서 *답*입니다."),
}
STATUSES = {
    "upstream_auth_failed": 502,
    "upstream_timeout": 504,
    "model_not_ready": 503,
    "upstream_failed": 502,
    "rate_limit_exceeded": 429,
    "model_not_found": 404,
}


@dataclass
class World:
    """What a test can see and change."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    chats: list[dict[str, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """Models whose stream was closed by the client before its end."""
    votes: dict[str, Any] = field(default_factory=dict)
    ratings: dict[str, Any] = field(default_factory=dict)
    key_present: bool = False
    models: list[str] = field(default_factory=lambda: [name for name in SCRIPTS if name != "gpt-test"])


def create_world() -> Starlette:
    """The app with a world of its own."""
    app = Starlette(
        routes=[
            Route("/v1/status", status),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/prompt", prompt, methods=["POST"]),
            Route("/v1/feedback/{kind}/{id}", feedback, methods=["PUT", "DELETE"]),
            Route("/script", inspect),
            Route("/script/open", open_gate, methods=["POST"]),
            Route("/script/reset", reset, methods=["POST"]),
        ]
    )
    app.state.world = World()
    return app


async def status(request: Request) -> Response:
    world: World = request.app.state.world
    models = [_card(name) for name in world.models]
    provider = {
        "name": "openai",
        "configured": world.key_present,
        "key_env": "OPENAI_API_KEY",
        "models": ["gpt-test"],
    }
    if world.key_present:
        models.insert(0, {"id": "gpt-test", "kind": "external", "provider": "openai", "state": "ready"})
    return JSONResponse(
        {
            "version": "0",
            "uptime_s": 1,
            "models": models,
            "providers": [provider],
            "controller_connected": True,
        }
    )


def _card(name: str) -> dict[str, Any]:
    card: dict[str, Any] = {"id": name, "kind": "worker", "state": "ready", "workers": 1, "last_seen_s": 1.0}
    card |= {"licence": "Apache-2.0", "dtype": "float32", "context_length": 1024, "parameters": 4_200_000}
    card |= {"template": "dolly_ko", "template_hash": "9f2c1ab407d6", "method": "pretrain"}
    if name == "demo-dolly":
        card |= {"base": "demo-base", "method": "lora"}
    if name == "demo-base":
        card |= {"images": True}
    if name == "loading":
        card |= {"state": "loading", "progress": 0.62, "workers": 0, "detail": "loading weights"}
    if name == "dead":
        card |= {"state": "down", "workers": 0, "last_seen_s": 14.2}
    return card


async def chat(request: Request) -> Response:
    world: World = request.app.state.world
    body = await request.json()
    world.chats.append(body)
    name = body["model"]
    script = SCRIPTS.get(name, SCRIPTS["gone"])
    headers = {"x-request-id": f"req-{uuid.uuid4().hex[:8]}"}
    if script.end in STATUSES:
        error = error_object(f"Scripted {script.end} of {name}.", type="server_error", code=script.end)
        return JSONResponse(error, STATUSES[script.end], headers)
    return StreamingResponse(
        _events(world, name, script, body), headers=headers, media_type="text/event-stream"
    )


async def _events(world: World, name: str, script: Script, body: dict[str, Any]) -> AsyncIterator[bytes]:
    # Every token says whose it is: one in the wrong pane is seen. A system prompt tells equal models apart.
    system = next((message["content"] for message in body["messages"] if message["role"] == "system"), "")
    mark = f"{name}{system and '/' + system}"
    words = body["messages"][-1]["content"] if script.echoes else script.words
    tokens = _pieces(words) if words else [f"{mark}#{n} " for n in range(script.tokens)]
    finished = False
    try:
        for piece in _pieces(script.reasoning):
            await asyncio.sleep(script.delay_s)
            yield _event({"choices": [{"index": 0, "delta": {"reasoning": piece}, "finish_reason": None}]})
        for count, token in enumerate(tokens):
            if count == script.gate_after:
                await world.gate.wait()
            await asyncio.sleep(script.delay_s)
            yield _event({"choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
        if script.end == "error":
            yield _event(error_object("The worker died.", type="server_error", code="upstream_broke_off"))
        elif script.end != "silence":
            yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": script.end}]})
            yield _event({"choices": [], "usage": {"completion_tokens": len(tokens)}})
        finished = True
        if script.end != "silence":
            yield b"data: [DONE]\n\n"
    finally:
        if not finished:
            world.ended.append(name)


def _pieces(words: str) -> list[str]:
    return [words[n : n + 3] for n in range(0, len(words), 3)]


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


async def prompt(request: Request) -> Response:
    body = await request.json()
    if body["model"] == "gpt-test":
        return JSONResponse(
            error_object("External.", type="invalid_request_error", code="prompt_unavailable"), 404
        )
    text = "".join(f"### {message['role']}:\n{message['content']}\n\n" for message in body["messages"])
    return JSONResponse({"prompt": f"{text}### assistant:\n", "token_count": len(text)})


async def feedback(request: Request) -> Response:
    world: World = request.app.state.world
    kept = world.votes if request.path_params["kind"] == "votes" else world.ratings
    if request.method == "DELETE":
        return Response(status_code=204 if kept.pop(request.path_params["id"], None) else 404)
    kept[request.path_params["id"]] = await request.json()
    return JSONResponse({"id": request.path_params["id"]})


async def inspect(request: Request) -> Response:
    world: World = request.app.state.world
    return JSONResponse(
        {"chats": world.chats, "ended": world.ended, "votes": world.votes, "ratings": world.ratings}
    )


async def open_gate(request: Request) -> Response:
    request.app.state.world.gate.set()
    return JSONResponse({})


async def reset(request: Request) -> Response:
    """A new world; the body may set `models` and `key_present`."""
    request.app.state.world = World(**(await request.json() or {}))
    return JSONResponse({})


if __name__ == "__main__":
    uvicorn.run(create_world(), port=int(sys.argv[1]), log_level="warning")
