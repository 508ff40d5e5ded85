"""The connections over which the web UI reads answers: kept, closed, and what may come over them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from common.feedback import Message, Sampling
from webui.chat_request import ChatRequest
from webui.gateway_client import GatewayClient, GatewayError

REQUEST = ChatRequest(
    "m", [Message(role="user", content="안녕?")], Sampling(temperature=1.0, top_p=1.0, max_tokens=9)
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    (size,) = (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(size)
    return head


@asynccontextmanager
async def gateway(answer: Answer, path: str = "") -> AsyncIterator[tuple[GatewayClient, list[int]]]:
    """A client, and how many connections it has opened."""
    opened: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(1)
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = GatewayClient(f"http://127.0.0.1:{port}{path}", "sk-test")
    try:
        yield client, opened
    finally:
        await client.aclose()
        server.close()


async def text_of(client: GatewayClient) -> str:
    return "".join([event.text async for event in client.stream(REQUEST)])


async def test_the_next_question_goes_out_over_the_same_connection() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await request_of(reader))
            writer.write(CHUNKED + piece(TEXT) + piece(DONE) + b"0\r\n\r\n")

    async with gateway(answer, "/behind/") as (client, opened):
        assert [await text_of(client) for _ in range(3)] == ["a", "a", "a"]
    assert len(opened) == 1
    assert heads[0].startswith(b"POST /behind/v1/chat/completions HTTP/1.1\r\n")
    assert b"authorization: Bearer sk-test\r\n" in heads[0]


async def test_an_answer_whose_framing_ends_after_its_words_keeps_its_connection() -> None:
    read, ended = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + piece(TEXT) + piece(DONE))
        await read.wait()
        writer.write(b"0\r\n\r\n")
        ended.set()
        await request_of(reader)
        writer.write(HEAD + b"content-length: %d\r\n\r\n%b" % (len(TEXT + DONE), TEXT + DONE))
        await reader.read()

    async with gateway(answer) as (client, opened):
        assert await text_of(client) == "a"
        read.set()
        await ended.wait()
        (connection,) = client._streams._out
        while client._streams.is_out(connection):
            await asyncio.sleep(0)
        assert await text_of(client) == "a"
    assert len(opened) == 1


async def test_what_comes_behind_the_end_mark_belongs_to_no_other_answer() -> None:
    """Its reader holds the words that came before the end mark while the rest arrives."""
    begun, read = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED)
        await begun.wait()  # now it waits for more
        writer.write(piece(TEXT + DONE))
        await read.wait()
        writer.write(piece(b'data: {"choices":[{"delta":{"content":"another user"}}]}\n\n') + b"0\r\n\r\n")
        await request_of(reader)
        writer.write(CHUNKED + piece(TEXT) + piece(DONE) + b"0\r\n\r\n")
        await reader.read()

    async with gateway(answer) as (client, opened):
        async with aclosing(client.stream(REQUEST)) as events:
            async for event in events:
                begun.set()
                if event.text:
                    read.set()
                    (connection,) = client._streams._out
                    while not connection._parser.complete:
                        await asyncio.sleep(0)
        assert await text_of(client) == "a"
    assert len(opened) == 1


@pytest.mark.parametrize(
    "event",
    [
        *('{"choices":{"a":1}}', '{"choices":7}', '{"choices":["a"]}', '{"choices":[{"delta":"a"}]}'),
        *(
            '{"usage":7}',
            '{"usage":{"completion_tokens":"9"}}',
            '{"choices":[{"finish_reason":7}]}',
            "[" * 100_000,
        ),
    ],
)
async def test_an_event_of_another_form_ends_the_answer_as_broken(event: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + piece(TEXT) + piece(f"data: {event}\n\n".encode()) + piece(DONE))

    async with gateway(answer) as (client, _):
        with pytest.raises(GatewayError) as caught:
            await text_of(client)
    assert caught.value.failure.kind == "cut_off"


async def test_who_leaves_ends_the_gateways_work() -> None:
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(CHUNKED + piece(TEXT))
        try:
            assert await reader.read() == b""
        finally:
            gone.set()

    async with gateway(answer) as (client, _):
        async with aclosing(client.stream(REQUEST)) as events:
            while not (await anext(events)).text:
                pass
        async with asyncio.timeout(60):
            await gone.wait()


async def test_a_connection_that_the_gateway_has_closed_is_not_used_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(HEAD + b"\r\n" + TEXT + DONE)  # a body that ends with its connection

    async with gateway(answer) as (client, opened):
        assert [await text_of(client) for _ in range(2)] == ["a", "a"]
    assert len(opened) == 2


@pytest.mark.parametrize(
    "said",
    [
        CHUNKED
        + b'1f;name="a;b"\r\n'
        + (TEXT + DONE)[:31]
        + b"\r\n"
        + piece((TEXT + DONE)[31:])
        + b"0;x\r\nt: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n"
        + CHUNKED
        + piece(TEXT + DONE)
        + b"0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + TEXT.replace(b"\n", b"\r\n") + b": \r\n\r\n" + DONE,
        HEAD + b"connection: close\r\n\r\n" + TEXT + DONE,
    ],
)
async def test_every_framing_of_http_brings_the_same_words(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_of(reader)
            for at in range(len(said)):  # byte by byte
                writer.write(said[at : at + 1])
                await writer.drain()
            if CHUNKED not in said:  # the connection ends the answer
                return

    async with gateway(answer) as (client, _):
        assert [await text_of(client) for _ in range(2)] == ["a", "a"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "gateway_down"),
        (b"", "gateway_down"),
        (CHUNKED + piece(TEXT), "cut_off"),
        (CHUNKED + b"zz\r\n", "cut_off"),
    ],
)
async def test_what_is_no_whole_answer_is_a_failure(said: bytes, kind: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(said.replace(b"\r\ncontent-type", b"\r\nx-request-id: r\r\ncontent-type"))

    async with gateway(answer) as (client, _):
        with pytest.raises(GatewayError) as caught:
            await text_of(client)
    assert caught.value.failure.kind == kind


async def test_a_key_with_a_line_end_asks_nobody() -> None:
    client = GatewayClient("http://127.0.0.1:9", key=lambda: "sk\r\nhost: other")
    with pytest.raises(GatewayError) as caught:
        await text_of(client)
    assert caught.value.failure.kind == "gateway_down"
    await client.aclose()
