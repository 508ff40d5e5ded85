"""A worker around a scripted engine, and what a controller lists of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.support.gateway_stack import TOKEN
from tests.support.processes import PATIENCE_S, script

MESSAGES = [{"role": "user", "content": "안녕하세요"}]
AUTH = {"authorization": f"Bearer {TOKEN}"}


def scripted(port: int) -> list[str]:
    """The command line of a scripted engine."""
    words = ["--port", str(port), "--model", "dolly", "--key", "k"]
    return [sys.executable, "-m", "tests.support.scripted_engine", *words]


def listed(controller: str) -> list[dict[str, Any]]:
    answer = httpx2.get(f"{controller}/v1/workers", headers=AUTH, trust_env=False).raise_for_status()
    workers: list[dict[str, Any]] = answer.json()["workers"]
    return workers


def state(controller: str) -> str | None:
    return next((str(worker["state"]) for worker in listed(controller)), None)


@contextmanager
def stalled_answer(engine: str, **settings: object) -> Iterator[Iterator[str]]:
    """The lines after the first of a stream from the engine at this URL, which stands still there."""
    script(engine, "stall_at_token:1")
    body = {"model": "dolly", "messages": MESSAGES, "stream": True, **settings}
    headers = {"authorization": "Bearer k"}
    with httpx2.stream(
        "POST",
        f"{engine}/v1/chat/completions",
        json=body,
        headers=headers,
        trust_env=False,
        timeout=PATIENCE_S,
    ) as answer:
        lines = answer.iter_lines()  # kept: httpx closes the stream with its iterator
        next(lines)
        yield lines
