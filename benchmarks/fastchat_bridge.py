"""A FastChat worker that does no model work: it hands every prompt to an OpenAI-compatible engine.

    python benchmarks/fastchat_bridge.py --port 9101 --engine http://127.0.0.1:9000 --model twin
        --controller http://127.0.0.1:21001

It speaks the protocol of FastChat 0.2.36's model workers, so that FastChat's own API server can be measured
and checked in front of the engine that everybody else gets.
"""

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CONTEXT_LENGTH = 4096
INTERNAL_ERROR = 50001
TEMPLATE = {
    "name": "plain",
    "system_template": "{system_message}",
    "system_message": "",
    "system_message_vision": "",
    "roles": ["user", "assistant"],
    "messages": [],
    "offset": 0,
    "sep_style": 1,
    "sep": "\n",
    "sep2": None,
    "stop_str": None,
    "stop_token_ids": None,
    "max_image_size_mb": None,
}
"""A conversation format as FastChat describes it."""


class EngineFailed(Exception):
    """The engine did not answer as it should."""


def bridge(engine: str, model: str, address: str, controller: str) -> Starlette:
    """The worker at `address`; registers at start."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            app.state.client = client
            status = {"model_names": [model], "speed": 1, "queue_length": 0}
            # Heartbeats are not asked for: the registration then stays for the controller's life.
            word = {"worker_name": address, "check_heart_beat": False, "worker_status": status}
            answer = await client.post(f"{controller}/register_worker", json=word | {"multimodal": False})
            answer.raise_for_status()
            yield

    async def texts(client: httpx2.AsyncClient, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """FastChat's messages: the whole text so far, again with every token."""
        body = {
            "model": model,
            "prompt": asked["prompt"],
            "max_tokens": asked.get("max_new_tokens") or 16,
            "temperature": asked.get("temperature", 0),
            "echo": asked.get("echo", False),
            "stream": True,
        }
        text, count = "", 0
        async with client.stream("POST", f"{engine}/v1/completions", json=body) as answer:
            if answer.status_code != 200:
                raise EngineFailed(f"status {answer.status_code}")
            done = False
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    done = True
                elif line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    if "error" in event:
                        raise EngineFailed("an error event")
                    for choice in event["choices"]:
                        text, count = text + choice["text"], count + 1
                        usage = {
                            "prompt_tokens": 5,
                            "completion_tokens": count,
                            "total_tokens": count + 5,
                        }
                        reason = choice["finish_reason"]
                        yield {"text": text, "error_code": 0, "usage": usage, "finish_reason": reason}
            if not done:
                raise EngineFailed("no [DONE]")

    async def generate_stream(request: Request) -> Response:
        asked = await request.json()

        async def lines() -> AsyncIterator[bytes]:
            try:
                async for said in texts(request.app.state.client, asked):
                    yield json.dumps(said).encode() + b"\0"
            except (EngineFailed, httpx2.HTTPError) as error:
                # What FastChat's own workers send when generation fails.
                failed = {"text": f"**NETWORK ERROR** ({error})", "error_code": INTERNAL_ERROR}
                yield json.dumps(failed | {"finish_reason": None}).encode() + b"\0"

        return StreamingResponse(lines())

    async def generate(request: Request) -> Response:
        said: dict[str, Any] = {"text": "", "error_code": INTERNAL_ERROR}
        try:
            said = [each async for each in texts(request.app.state.client, await request.json())][-1]
        except (EngineFailed, httpx2.HTTPError) as error:
            said = {"text": f"**NETWORK ERROR** ({error})", "error_code": INTERNAL_ERROR}
        return JSONResponse(said)

    async def embed(request: Request) -> Response:
        asked = await request.json()
        body = {"model": model, "input": asked["input"]}
        answer = await request.app.state.client.post(f"{engine}/v1/embeddings", json=body)
        if answer.status_code != 200:
            return JSONResponse({"text": "no embeddings", "error_code": INTERNAL_ERROR})
        vectors = [item["embedding"] for item in answer.json()["data"]]
        return JSONResponse({"embedding": vectors, "token_num": 5 * len(vectors)})

    def constant(value: dict[str, Any]) -> Any:
        async def answer(_request: Request) -> Response:
            return JSONResponse(value)

        return answer

    handlers = {
        "/worker_generate_stream": generate_stream,
        "/worker_generate": generate,
        "/worker_get_embeddings": embed,
        "/worker_get_status": constant({"model_names": [model], "speed": 1, "queue_length": 0}),
        "/worker_get_conv_template": constant({"conv": TEMPLATE}),
        "/count_token": constant({"count": 5, "error_code": 0}),
        "/model_details": constant({"context_length": CONTEXT_LENGTH}),
    }
    routes = [Route(path, handler, methods=["POST"]) for path, handler in handlers.items()]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--controller", required=True)
    args = parser.parse_args()
    app = bridge(args.engine, args.model, f"http://127.0.0.1:{args.port}", args.controller)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
