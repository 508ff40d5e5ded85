"""`POST /v1/moderations` of vLLM with a classifier: an ASGI middleware (vLLM's --middleware) that asks vLLM's
own `/classify` and answers in OpenAI's shape.

A text is judged by sentence, as by kodolly's own model, so that none is cut at the end of a small context;
the worst counts. Each label stands under its own name, and known ones in OpenAI's categories, too.
"""

import os
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from common.errors import ApiError, BadRequest, UpstreamFailed, error_bytes
from common.http import bearer_token, require_token
from common.sentences import split_sentences
from moderation.classes import OPENAI_CATEGORIES
from moderation.labels import is_clean, openai_category
from moderation.service import inputs_of, read_body

SETTINGS_VARIABLE = "KODOLLY_CLASSIFIER"
"""Where the worker says what the classifier's labels are: `ClassifierLabels` as JSON."""
VLLM_KEY_VARIABLE = "VLLM_API_KEY"
LEAST = 0.5
"""The score that a label has at least to be reached, where several may be."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class ClassifierLabels:
    """What a checkpoint says of its labels."""

    names: tuple[str, ...]
    """In the order of its scores."""
    several: bool
    """Whether a text may have several at once; else it has the one of the highest score."""


class _Labelled(msgspec.Struct):
    index: int
    probs: list[float]


class _Answer(msgspec.Struct):
    model: str
    data: list[_Labelled]


class ModerationByClassifier:
    """Answers the route; everything else is the app's. It stands before vLLM's own guard of keys, so it asks
    for the key itself."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._labels = msgspec.json.decode(os.environ[SETTINGS_VARIABLE], type=ClassifierLabels)
        self._key = os.environ[VLLM_KEY_VARIABLE]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of one request."""
        if (scope["type"], scope.get("method"), scope.get("path")) != ("http", "POST", "/v1/moderations"):
            await self._app(scope, receive, send)
            return
        try:
            status, body = 200, await self._answer(scope, receive)
        except ApiError as error:
            status, body = error.status, error_bytes(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        given = next((v for k, v in scope["headers"] if k == b"authorization"), b"").decode("latin-1")
        require_token(bearer_token(given), [self._key])
        try:
            request = msgspec.json.decode(await read_body(receive))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest("The body is not valid JSON.", code="invalid_json") from error
        if not isinstance(request, dict):
            raise BadRequest("The body is not a JSON object.", code="invalid_json")
        texts = inputs_of(request.get("input"))
        sentences = [split_sentences(text) or [" "] for text in texts]
        asked = {"input": [one for parts in sentences for one in parts], "truncate_prompt_tokens": -1}
        asked |= {"model": request["model"]} if "model" in request else {}
        answer = await self._classified(scope, msgspec.json.encode(asked), sum(map(len, sentences)), receive)
        rows = iter([one.probs for one in sorted(answer.data, key=lambda one: one.index)])
        results = [self._result([next(rows) for _ in parts]) for parts in sentences]
        made = {"id": f"modr-{uuid.uuid4().hex}", "model": answer.model, "results": results}
        return msgspec.json.encode(made)

    async def _classified(self, scope: Scope, body: bytes, count: int, client: Receive) -> _Answer:
        """vLLM's answer. Raises ApiError with what it refuses."""
        status, said = await _asked(self._app, scope, body, client)
        if status >= 400:
            told = _message(said)
            raise BadRequest(told) if status < 500 else UpstreamFailed(told)
        try:
            answer = msgspec.json.decode(said, type=_Answer)
        except msgspec.MsgspecError as error:
            raise UpstreamFailed("The classifier gave no scores.") from error
        if len(answer.data) != count or any(len(one.probs) != len(self._labels.names) for one in answer.data):
            raise UpstreamFailed("The classifier has other labels than its config.json says.")
        return answer

    def _result(self, rows: Sequence[Sequence[float]]) -> dict[str, Any]:
        """OpenAI's result of a text with these sentences."""
        categories, scores = dict.fromkeys(OPENAI_CATEGORIES, False), dict.fromkeys(OPENAI_CATEGORIES, 0.0)
        types: dict[str, list[str]] = {name: [] for name in OPENAI_CATEGORIES}
        for at, label in enumerate(self._labels.names):
            if is_clean(label):
                continue
            score = max(row[at] for row in rows)
            reached = any(row[at] >= LEAST if self._labels.several else row[at] == max(row) for row in rows)
            for name in dict.fromkeys((label, openai_category(label) or label)):
                categories[name] = categories.get(name, False) or reached
                scores[name] = max(scores.get(name, 0.0), score)
                types[name] = ["text"]
        flagged = any(categories.values())
        return {
            "flagged": flagged,
            "categories": categories,
            "category_scores": scores,
            "category_applied_input_types": types,
        }


async def _asked(app: App, scope: Scope, body: bytes, client: Receive) -> tuple[int, bytes]:
    """The status and the body of what `app` answers to `/classify`. vLLM stops once the client has gone."""
    kept = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", b"content-type")]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    inner = {**scope, "path": "/classify", "raw_path": b"/classify", "headers": headers, "state": {}}
    status, parts, sent = 500, [], False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return await client()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(inner, receive, send)
    return status, b"".join(parts)


def _message(said: bytes) -> str:
    try:
        error = msgspec.json.decode(said)["error"]
        return str(error["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "The classifier refused the text."
