"""The inference routes: what the gateway relays, where it goes at the engine, and how its streams end."""

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["openai", "responses", "anthropic"]
"""How a stream ends and how errors look: `data: [DONE]`, `response.completed`, or `message_stop`."""


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
    external: bool = False
    """OpenAI-compatible providers have it too; the others exist at engines alone."""


ROUTES = {
    route.path: route
    for route in (
        Route("/v1/chat/completions", "/v1/chat/completions", counts_usage=True, external=True),
        Route("/v1/completions", "/v1/completions", counts_usage=True, external=True),
        Route("/v1/responses", "/v1/responses", dialect="responses", external=True),
        Route("/v1/messages", "/v1/messages", dialect="anthropic"),
        Route("/v1/messages/count_tokens", "/v1/messages/count_tokens", dialect="anthropic"),
        Route("/v1/embeddings", "/v1/embeddings", external=True),
        Route("/v1/audio/transcriptions", "/v1/audio/transcriptions", multipart=True, external=True),
        Route("/v1/audio/translations", "/v1/audio/translations", multipart=True, external=True),
        Route("/v1/score", "/v1/score"),
        Route("/score", "/score"),
        Route("/v1/rerank", "/v1/rerank"),
        Route("/v2/rerank", "/v2/rerank"),
        Route("/rerank", "/rerank"),
        Route("/v2/embed", "/v2/embed"),
        Route("/pooling", "/pooling"),
        Route("/classify", "/classify"),
        Route("/tokenize", "/tokenize"),
        Route("/detokenize", "/detokenize"),
        Route("/v1/tokenize", "/tokenize"),
        Route("/v1/detokenize", "/detokenize"),
    )
}
CHAT = ROUTES["/v1/chat/completions"]
RESPONSES = ROUTES["/v1/responses"]
STORED_RESPONSE = "/v1/responses/"
"""GET /v1/responses/{id} and POST /v1/responses/{id}/cancel go to the worker that made the response."""


def is_relayed(path: str) -> bool:
    """Whether the relay answers this path."""
    return path in ROUTES or path.startswith(STORED_RESPONSE)
