"""The server of one moderation model: OpenAI's `POST /v1/moderations`, and the routes that a worker asks of
an engine (health, models, metrics).

`kodolly worker` starts it as a process of its own, as it starts vLLM for other models:
`python -m moderation.service DIRECTORY --host H --port P --name NAME...`, its key in KODOLLY_ENGINE_KEY.
"""

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from common.errors import (
    ApiError,
    BadRequest,
    InternalError,
    ModelNotFound,
    NotFound,
    PayloadTooLarge,
    error_bytes,
)
from common.http import bearer_token, require_token
from common.logs import configure_logging
from moderation.classes import CLASSES, OPENAI_CATEGORIES, TO_OPENAI, openai_scores
from moderation.model import ModerationModel, Verdict, load_model

KEY_VARIABLE = "KODOLLY_ENGINE_KEY"
BODY_BYTES = 16 * 1024 * 1024
MOST_INPUTS = 2048
LOOP_CHARACTERS = 500
"""A longer text is judged in a thread, so that it does not hold the event loop: a sentence takes about a
millisecond."""
_ASSESSED = frozenset(TO_OPENAI.values())

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ModerationService:
    """The ASGI app, one per process."""

    def __init__(self, model: ModerationModel, names: Sequence[str], key: str) -> None:
        self._model, self._names, self._key = model, tuple(names), key
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the messages of uvicorn's lifespan."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        try:
            status, body, content_type = 200, *await self._answer(scope, receive)
        except ApiError as error:
            status, body, content_type = error.status, error_bytes(error), "application/json"
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, str]:
        asked = (scope["method"], scope["path"])
        if asked == ("GET", "/health"):
            return b"{}", "application/json"
        given = next((v for k, v in scope["headers"] if k == b"authorization"), b"").decode("latin-1")
        require_token(bearer_token(given), [self._key])
        if asked == ("GET", "/metrics"):
            return self._metrics().encode(), "text/plain; version=0.0.4"
        if asked == ("GET", "/v1/models"):
            return msgspec.json.encode(self._models()), "application/json"
        if asked != ("POST", "/v1/moderations"):
            raise NotFound(
                f"A moderation model does not answer {scope['path']}.",
                code="unsupported_endpoint",
                hint="Use POST /v1/moderations.",
            )
        self._running += 1
        try:
            return msgspec.json.encode(await self._moderate(await read_body(receive))), "application/json"
        finally:
            self._running -= 1

    def _models(self) -> dict[str, Any]:
        created = self._model.card.created
        entries = [
            {"id": n, "object": "model", "created": created, "owned_by": "kodolly"} for n in self._names
        ]
        return {"object": "list", "data": entries}

    def _metrics(self) -> str:
        return f"moderation:requests_running {self._running}\nmoderation:requests_waiting 0\n"

    async def _moderate(self, body: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest("The body is not valid JSON.", code="invalid_json") from error
        if not isinstance(request, dict):
            raise BadRequest("The body is not a JSON object.", code="invalid_json")
        name = request.get("model", self._names[0])
        if name not in self._names:
            raise ModelNotFound(f"The model {name!r} is not served here.", param="model")
        texts = inputs_of(request.get("input"))
        results = []
        for text in texts:
            if len(text) > LOOP_CHARACTERS:
                verdict = await asyncio.to_thread(self._model.judge, text)
            else:
                verdict = self._model.judge(text)
            results.append(result_of(verdict))
            if len(texts) > 1:
                await asyncio.sleep(0)
        return {"id": f"modr-{uuid.uuid4().hex}", "model": name, "results": results}


def inputs_of(given: Any) -> list[str]:
    """The texts to judge out of the request's `input`: a string, a list of strings, or the text parts of one
    multi-modal input.

    Raises BadRequest for anything else, such as pictures.
    """
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise BadRequest("input must be a string or a list that is not empty.", param="input")
    if len(given) > MOST_INPUTS:
        raise BadRequest(f"input holds more than {MOST_INPUTS} texts.", param="input")
    if all(isinstance(one, str) for one in given):
        return given
    parts = [one if isinstance(one, dict) else {} for one in given]
    if other := next((p.get("type") for p in parts if p.get("type") not in ("text", None)), None):
        raise BadRequest(f"This model reads text alone; input holds {other!r}.", param="input")
    texts = [text for part in parts if isinstance(text := part.get("text"), str)]
    if len(texts) < len(parts):
        raise BadRequest('input must hold strings, or parts {"type": "text", "text": ...}.', param="input")
    return ["\n".join(texts)]


def result_of(verdict: Verdict) -> dict[str, Any]:
    """OpenAI's result object with all thirteen categories, and beside them the seven classes by AI Hub's
    names.

    A category for which the model has no class lists no applied input type.
    """
    reached = {name: level is not None for name, level in zip(CLASSES, verdict.levels, strict=True)}
    categories = dict.fromkeys(OPENAI_CATEGORIES, False)
    for name, is_reached in reached.items():
        categories[TO_OPENAI[name]] |= is_reached
    types = {name: ["text"] if name in _ASSESSED else [] for name in OPENAI_CATEGORIES}
    return {
        "flagged": verdict.flagged,
        "categories": categories | reached,
        "category_scores": openai_scores(verdict.scores) | dict(zip(CLASSES, verdict.scores, strict=True)),
        "category_applied_input_types": types | {name: ["text"] for name in CLASSES},
        "category_levels": dict(zip(CLASSES, verdict.levels, strict=True)),
    }


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises ApiError for one that is too large or breaks off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InternalError("The client is gone.")
        body += message.get("body", b"")
        if len(body) > BODY_BYTES:
            raise PayloadTooLarge(f"The body is larger than {BODY_BYTES >> 20} MiB.")
        if not message.get("more_body"):
            return bytes(body)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return


def main() -> None:
    """Serve until SIGTERM."""
    from common.serve import serve

    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", action="append", required=True)
    asked = parser.parse_args()
    configure_logging("info", "text")
    began = time.monotonic()
    model = load_model(asked.directory)
    model.judge("읽을 준비가 되었습니다.")  # the first call of NumPy's functions is slow
    app = ModerationService(model, asked.name, os.environ[KEY_VARIABLE])
    print(f"model loaded in {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201 (the worker's log)
    serve(app, asked.host, asked.port, setting="--port")


if __name__ == "__main__":
    main()
