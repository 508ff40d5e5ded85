"""Embeddings, scores and other answers without generation, in the shapes of vLLM 0.32."""

import base64
import hashlib
import struct
from typing import Any

from tests.support.scripted_answers import DIMENSIONS, PROMPT_TOKENS, check, prompt_text, prompts_of, usage_of


def vector(text: str, dimensions: int) -> list[float]:
    """A direction that depends on the text alone."""
    digest = hashlib.sha512(text.encode()).digest()
    return [digest[at] / 255 - 0.5 for at in range(dimensions)]


def embeddings(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Embeddings as floats or as base64 of little-endian float32."""
    check(asked, "input")
    inputs = prompts_of(asked["input"])
    dimensions = asked.get("dimensions") or DIMENSIONS
    data = []
    for index, given in enumerate(inputs):
        numbers: Any = vector(prompt_text(given), dimensions)
        if asked.get("encoding_format") == "base64":
            numbers = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode("ascii")
        data.append({"object": "embedding", "index": index, "embedding": numbers})
    count = PROMPT_TOKENS * len(inputs)
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    return base | {"object": "list", "data": data, "usage": usage}


def closeness(one: str, other: str) -> float:
    """1 for the same text, less for others."""
    left, right = set(one), set(other)
    return len(left & right) / max(1, len(left | right))


def score(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """How close text_1 is to every text_2."""
    check(asked, "text_1")
    others = [asked["text_2"]] if isinstance(asked["text_2"], str) else asked["text_2"]
    data = [
        {"index": index, "object": "score", "score": closeness(asked["text_1"], other)}
        for index, other in enumerate(others)
    ]
    return base | {"object": "list", "data": data, "usage": usage_of(0)}


def rerank(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The documents, the closest first."""
    check(asked, "query")
    results: list[dict[str, Any]] = [
        {"index": i, "document": {"text": text}, "relevance_score": closeness(asked["query"], text)}
        for i, text in enumerate(asked["documents"])
    ]
    results.sort(key=lambda found: -found["relevance_score"])
    return base | {"results": results[: asked.get("top_n") or None], "usage": usage_of(0)}


def pooling(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The vectors themselves."""
    check(asked, "input")
    data = [
        {"index": index, "object": "pooling", "data": vector(prompt_text(given), DIMENSIONS)}
        for index, given in enumerate(prompts_of(asked["input"]))
    ]
    return base | {"object": "list", "data": data, "usage": usage_of(0)}


def classify(model: str, asked: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Everything is a compliment."""
    check(asked, "input")
    data = [
        {"index": index, "label": "칭찬", "probs": [0.75, 0.25], "num_classes": 2}
        for index, _ in enumerate(prompts_of(asked["input"]))
    ]
    return base | {"object": "list", "data": data, "usage": usage_of(0)}
