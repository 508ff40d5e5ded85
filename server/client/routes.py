"""The inference routes: what the gateway relays, where it goes at the engine, and how its streams end."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from common.doors import Door
from common.errors import NotFound
from common.model_kind import ModelKind

Dialect = Literal["openai", "responses", "anthropic"]
"""How a stream ends and how errors look: `data: [DONE]`, `response.completed`, or `message_stop`."""

Spends = Literal["nothing", "prompt", "answer"]
"""Nothing: only the tokenizer is asked. Answer: prompt and answer."""

JSON_DOOR = Door("key+model", body_bytes=None, body_s=None)
FORM_DOOR = Door("key+model", "form", body_bytes=None, body_s=None)
STORED_DOOR = Door("key", limited=False)
"""Of stored responses: each belongs to the key that asked for it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One relayed route."""

    path: str
    """Ours; the label in metrics."""
    engine_path: str
    dialect: Dialect = "openai"
    counts_usage: bool = False
    """Streams take `stream_options`, so that the engine can be asked to count tokens."""
    multipart: bool = False
    """The body is a form with a file (audio)."""
    spends: Spends = "prompt"
    """Which tokens of a request the model works on."""
    default_kind: ModelKind | None = None
    """Requests may leave the model out: a model of this kind that is ready answers then, as at OpenAI."""
    external: bool = False
    """OpenAI-compatible providers have it too; the others exist at engines alone."""

    @property
    def streams(self) -> bool:
        """Whether `"stream": true` means anything to it."""
        return self.spends == "answer" and not self.multipart

    @property
    def door(self) -> Door:
        """What it asks of whoever comes."""
        return FORM_DOOR if self.multipart else JSON_DOOR


ROUTES = {
    route.path: route
    for route in (
        Route(
            "/v1/chat/completions", "/v1/chat/completions", counts_usage=True, spends="answer", external=True
        ),
        Route("/v1/completions", "/v1/completions", counts_usage=True, spends="answer", external=True),
        Route("/v1/responses", "/v1/responses", dialect="responses", spends="answer", external=True),
        Route("/v1/messages", "/v1/messages", dialect="anthropic", spends="answer"),
        Route(
            "/v1/messages/count_tokens", "/v1/messages/count_tokens", dialect="anthropic", spends="nothing"
        ),
        Route("/v1/embeddings", "/v1/embeddings", external=True),
        Route("/v1/moderations", "/v1/moderations", external=True, default_kind="moderation"),
        Route(
            "/v1/audio/transcriptions",
            "/v1/audio/transcriptions",
            multipart=True,
            spends="answer",
            external=True,
        ),
        Route(
            "/v1/audio/translations", "/v1/audio/translations", multipart=True, spends="answer", external=True
        ),
        Route("/v1/score", "/v1/score"),
        Route("/score", "/score"),
        Route("/v1/rerank", "/v1/rerank"),
        Route("/v2/rerank", "/v2/rerank"),
        Route("/rerank", "/rerank"),
        Route("/v2/embed", "/v2/embed"),
        Route("/pooling", "/pooling"),
        Route("/classify", "/classify"),
        Route("/tokenize", "/tokenize", spends="nothing"),
        Route("/detokenize", "/detokenize", spends="nothing"),
        Route("/v1/tokenize", "/tokenize", spends="nothing"),
        Route("/v1/detokenize", "/detokenize", spends="nothing"),
    )
}
CHAT = ROUTES["/v1/chat/completions"]
RESPONSES = ROUTES["/v1/responses"]
MESSAGES = ROUTES["/v1/messages"]
STORED_RESPONSE = "/v1/responses/"
"""GET /v1/responses/{id} and POST /v1/responses/{id}/cancel go to the worker that made the response."""


MODELS = "/v1/models"
_SLASHES = re.compile("//+")
_VERSIONS = re.compile("(?:/v1)+(?=/)")
AZURE = b"/openai/"
_AZURE = re.compile(
    "/openai(?:/deployments/(.+?)(?=/(?:chat/completions|completions|embeddings|responses|audio/[a-z]+)$)"
    "|(?=/v1/)|(?=/(?:responses|models)(?:/|$)))"
)
"""Paths of Azure's clients: /openai/deployments/NAME/chat/completions?api-version=..., /openai/v1/..."""
BASE_URL_HINT = (
    "The base URL of OpenAI's clients ends in /v1, once (http://HOST:8000/v1); "
    "that of Anthropic's clients ends before it."
)


def canonical_path(path: str) -> str:
    """The inference or models route that `path` means, else `path` itself.

    Base URLs come with /v1 once, twice or not at all, and with or without a slash at the end, so clients ask
    for /v1//models, /v1/v1/messages, /chat/completions or /v1/embeddings/. What is asked for is clear.
    """
    if path in ROUTES:
        return path
    clean = _SLASHES.sub("/", path).rstrip("/")
    if azure := _AZURE.match(clean):
        clean = clean[azure.end() :]
    for meant in (_VERSIONS.sub("/v1", clean, count=1), f"/v1{clean}"):
        if is_relayed(meant) or meant == MODELS:
            return meant
        if meant.startswith(f"{MODELS}/"):
            # Names of models are taken as they are written.
            return path if path.startswith(f"{MODELS}/") else meant
    return path


def deployment_in(raw_path: bytes) -> str:
    """The model that a path of Azure's clients names; "" when it names none."""
    azure = _AZURE.match(unquote(raw_path.decode("latin-1")))
    return (azure and azure[1]) or ""


class NoRoute(NotFound):
    """No route of the gateway; in the shape of the client that asks."""

    def __init__(self, path: str) -> None:
        super().__init__(f"There is no route {path}.", hint=BASE_URL_HINT)
        self.anthropic = "/messages" in path

    def body(self) -> dict[str, object]:
        """Anthropic's error object for its clients, else OpenAI's."""
        if self.anthropic:
            return {"type": "error", "error": {"type": "not_found_error", "message": str(self)}}
        return super().body()


def is_relayed(path: str) -> bool:
    """Whether the relay answers this path."""
    return path in ROUTES or path.startswith(STORED_RESPONSE)
