"""Clients that send slowly: they end."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    tmp = tmp_path_factory.mktemp("slow")
    number = free_port()
    env = {"KODOLLY_STATE_DIR": str(tmp / "state"), "KODOLLY_GATEWAY_BODY_TIMEOUT_S": "2"}
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(tmp, "dolly"))
        argv = kodolly("gateway", "--port", str(number), "--static", f"dolly={engine}")
        health = f"http://127.0.0.1:{number}/healthz"
        stack.enter_context(running(argv, tmp / "gateway.log", health, env, tmp))
        yield number


def body(tokens: int) -> bytes:
    asked = {
        "model": "dolly",
        "messages": [{"role": "user", "content": "안녕"}],
        "max_tokens": tokens,
        "stream": True,
    }
    return json.dumps(asked, ensure_ascii=False).encode()


def head(length: int) -> bytes:
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % length
    )


async def test_a_header_that_does_not_come_ends_the_connection(port: int) -> None:
    async def dripping(first: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()
        finally:
            writer.close()

    answers = await asyncio.gather(*(dripping(b"POST /v1/chat") for _ in range(100)), dripping(b""))
    assert set(answers) == {b""}


async def test_a_body_that_does_not_come_is_a_client_error(port: int) -> None:
    content = body(4)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(len(content)) + content[:10])
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"body_timeout" in answer
