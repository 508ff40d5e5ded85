"""Requests written byte by byte, as no client would."""

from typing import Any

from tests.support.conformance.endpoint import Endpoint
from tests.support.conformance.wire import Answer, request, talk

CHAT = "/v1/chat/completions"


CHUNKED = "Transfer-Encoding: chunked"


def lines(endpoint: Endpoint, *more: str) -> list[str]:
    """Header lines of a request."""
    return [*(f"{name}: {value}" for name, value in endpoint.headers().items()), *more]


def post(endpoint: Endpoint, headers: list[str], *parts: bytes, answers: int = 1, **how: Any) -> list[Answer]:
    """A chat request whose body comes in packets of their own."""
    head = request(endpoint.base_url, "POST", endpoint.path(CHAT), headers)
    return talk(endpoint.base_url, head, *parts, answers=answers, **how)
