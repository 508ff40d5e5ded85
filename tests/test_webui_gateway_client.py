"""The web UI's HTTP client: server-sent events split anywhere, and every way a gateway can fail."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from common.feedback import Message, Sampling
from webui.chat_request import ChatRequest
from webui.failures import FailureKind
from webui.gateway_client import GatewayClient, GatewayError, StreamEvent
from webui.gateway_stream import Rest

REQUEST = ChatRequest(
    "m", [Message(role="user", content="안녕?")], Sampling(temperature=1.0, top_p=1.0, max_tokens=9)
)
DONE = b"data: [DONE]\n\n"

Answer = tuple[int, dict[str, str], Iterable[bytes]]


def chunk(text: str = "", finish: str | None = None, **more: Any) -> bytes:
    event = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more}
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


@asynccontextmanager
async def gateway(answer: Callable[[str], Answer]) -> AsyncIterator[GatewayClient]:
    """A real HTTP server that answers every path as `answer` says, and a client for it."""
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        status, headers, body = answer(scope["path"])
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        for part in body:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = GatewayClient(f"http://127.0.0.1:{port}", "sk-test")
    try:
        yield client
    finally:
        await client.aclose()
        server.should_exit = True
        await task


async def read(client: GatewayClient) -> list[StreamEvent]:
    return [event async for event in client.stream(REQUEST)]


async def failure_of(answer: Answer) -> Any:
    async with gateway(lambda _: answer) as client:
        with pytest.raises(GatewayError) as caught:
            await read(client)
    return caught.value.failure


async def test_a_stream_gives_text_finish_and_usage() -> None:
    usage = {"completion_tokens": 2}
    body = [
        chunk("안"),
        chunk("녕"),
        chunk(finish="stop"),
        b'data: {"choices":[],"usage":',
        json.dumps(usage).encode(),
    ]
    async with gateway(lambda _: (200, {"x-request-id": "req-7"}, [*body, b"}\n\n", DONE])) as client:
        events = await read(client)
    assert "".join(event.text for event in events) == "안녕"
    assert [event.finish_reason for event in events if event.finish_reason] == ["stop"]
    assert [event.completion_tokens for event in events if event.completion_tokens] == [2]
    assert events[0].request_id == "req-7"


@pytest.mark.parametrize("listens", [False, True])
async def test_a_read_that_is_put_off_takes_what_has_come_meanwhile(*, listens: bool) -> None:
    rests = 0

    def body() -> Iterator[bytes]:
        yield from [chunk(str(number % 10)) for number in range(50)]
        yield DONE

    def rest() -> Rest:
        nonlocal rests
        rests += 1
        return Rest(0.2, listens)

    async with gateway(lambda _: (200, {}, body())) as client:
        events = [event async for event in client.stream(REQUEST, rest)]
        assert "".join(event.text for event in events) == "0123456789" * 5
        assert 0 < rests < 10
        put_off = rests
        await read(client)  # over the same connection, which is read at once again
        assert rests == put_off


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "invalid_api_key", "gateway_key"),
        (404, "model_not_found", "model_not_found"),
        (502, "upstream_auth_failed", "provider_key"),
        (502, "upstream_failed", "upstream_failed"),
        (503, "model_not_ready", "not_ready"),
        (503, "overloaded", "overloaded"),
        (504, "upstream_timeout", "timeout"),
        (429, "rate_limit_exceeded", "rate_limited"),
        (400, "context_length_exceeded", "context_too_long"),
        (400, None, "refused"),
        (500, "internal_error", "other"),
    ],
)
async def test_an_error_object_is_a_failure_of_its_own_kind(
    status: int, code: str, kind: FailureKind
) -> None:
    body = json.dumps({"error": {"message": "왜", "type": "t", "param": None, "code": code}}).encode()
    failure = await failure_of((status, {"x-request-id": "req-1", "retry-after": "7"}, [body]))
    assert (failure.kind, failure.message, failure.request_id) == (kind, "왜", "req-1")
    assert failure.retry_after_s == 7


async def test_an_error_page_of_a_proxy_is_a_failure_too() -> None:
    assert (await failure_of((502, {}, [b"<html>Bad Gateway</html>"]))).kind == "upstream_failed"


async def test_a_gateway_that_knows_no_such_address_is_no_lost_model() -> None:
    """An older one, or another product's."""
    for body in (b'{"detail": "Not Found"}', b"Not Found", b""):
        assert (await failure_of((404, {}, [body]))).kind == "no_such_address"


async def test_an_error_frame_inside_the_stream_is_a_failure() -> None:
    frame = b'data: {"error": {"message": "dead", "type": "server_error", "code": "upstream_failed"}}\n\n'
    failure = await failure_of((200, {"x-request-id": "req-2"}, [chunk("반"), frame, DONE]))
    assert (failure.kind, failure.message, failure.request_id) == ("upstream_failed", "dead", "req-2")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([chunk("반"), chunk(finish="stop")], "cut_off"),
        ([], "cut_off"),
        ([b"data: {half\n\n", DONE], "cut_off"),
        ([chunk("반"), chunk(finish="abort"), DONE], "broke_off"),
    ],
)
async def test_a_stream_that_failed_never_looks_finished(body: list[bytes], kind: FailureKind) -> None:
    assert (await failure_of((200, {}, body))).kind == kind


async def test_a_gateway_that_is_not_there_is_a_failure() -> None:
    client = GatewayClient("http://127.0.0.1:9")
    with pytest.raises(GatewayError) as caught:
        await client.status()
    assert caught.value.failure.kind == "gateway_down"
    await client.aclose()


async def test_an_answer_of_another_shape_is_a_failure() -> None:
    async with gateway(lambda _: (200, {}, [b'{"unexpected": true}'])) as client:
        with pytest.raises(GatewayError) as caught:
            await client.prompt("m", REQUEST.messages)
    assert caught.value.failure.kind == "other"


def test_a_providers_model_is_not_sent_the_values_that_are_its_defaults_anyway() -> None:
    assert "temperature" in REQUEST.body()
    external = ChatRequest(
        "m", REQUEST.messages, Sampling(temperature=1.0, top_p=0.5, max_tokens=9), external=True
    )
    assert "temperature" not in external.body()
    assert external.body()["top_p"] == 0.5
    assert external.body()["max_completion_tokens"] == 9


def test_the_gateway_is_told_who_asks_and_providers_are_not() -> None:
    assert REQUEST.headers() == {}
    own, external = (
        ChatRequest("m", REQUEST.messages, REQUEST.sampling, external=external, user="rater-1")
        for external in (False, True)
    )
    assert own.body()["user"] == "rater-1"
    assert "user" not in external.body()
    assert own.headers() == external.headers() == {"x-rater-id": "rater-1"}
    assert "user" not in REQUEST.body()


@pytest.mark.parametrize(("status", "raised"), [(204, False), (404, False), (403, True), (503, True)])
async def test_a_rating_that_is_not_there_is_taken_away_already(status: int, *, raised: bool) -> None:
    async with gateway(lambda _: (status, {}, [])) as client:
        if raised:
            with pytest.raises(GatewayError):
                await client.delete_rating("some-id")
        else:
            await client.delete_rating("some-id")


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
async def test_reasoning_is_read_under_both_of_its_names(name: str) -> None:
    thinking = {"choices": [{"index": 0, "delta": {name: "생각", "content": None}, "finish_reason": None}]}
    body = [f"data: {json.dumps(thinking)}\n\n".encode(), chunk("답", "stop"), DONE]
    async with gateway(lambda _: (200, {}, body)) as client:
        events = await read(client)
    assert ["".join(event.reasoning for event in events), "".join(event.text for event in events)] == [
        "생각",
        "답",
    ]


async def test_an_answer_holds_no_character_that_a_database_refuses() -> None:
    halves = b'data: {"choices": [{"delta": {"content": "a\\ud83d\\u0000\\ud83d\\ude00"}}]}\n\n'
    async with gateway(lambda _: (200, {"content-type": "text/event-stream"}, [halves, DONE])) as client:
        assert "".join(event.text for event in await read(client)) == "a\ufffd\ufffd\U0001f600"
