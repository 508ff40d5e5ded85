"""Which function answers each route of the scripted engine."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.support.scripted_answers import Step
from tests.support.scripted_generation import (
    chat,
    chat_stream,
    completion,
    completion_stream,
    count_tokens,
    message,
    message_stream,
    response,
    response_stream,
)
from tests.support.scripted_pooling import classify, embeddings, pooling, rerank, score

Whole = Callable[[str, dict[str, Any], dict[str, Any]], dict[str, Any]]
Streamed = Callable[[str, dict[str, Any], dict[str, Any]], Iterator[Step]]

WHOLE: dict[str, Whole] = {
    "/v1/chat/completions": chat,
    "/v1/completions": completion,
    "/v1/messages": message,
    "/v1/messages/count_tokens": count_tokens,
    "/v1/responses": response,
    "/v1/embeddings": embeddings,
    "/v1/score": score,
    "/score": score,
    "/v1/rerank": rerank,
    "/v2/rerank": rerank,
    "/rerank": rerank,
    "/pooling": pooling,
    "/classify": classify,
}
STREAMED: dict[str, Streamed] = {
    "/v1/chat/completions": chat_stream,
    "/v1/completions": completion_stream,
    "/v1/messages": message_stream,
    "/v1/responses": response_stream,
}
POOLING = (
    "/v1/embeddings",
    "/v1/score",
    "/score",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/pooling",
    "/classify",
)
"""Routes of a model of embeddings, and of no other."""
ENDS_WITH_DONE = ("/v1/chat/completions", "/v1/completions")
