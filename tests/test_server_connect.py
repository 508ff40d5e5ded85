"""Connections to upstreams: through proxies, and why one cannot be made."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from server.proxy import Proxy, parse_proxy
from server.upstreams.connect import ConnectFailed, Origin, open_connection
from tests.support.processes import free_port


class Talk(asyncio.Protocol):
    """Says `ping` and keeps the answer."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"ping\n")

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(data)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve while the block runs; at its end no connection is left."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.readline() == b"ping\n":
        writer.write(b"pong")
    writer.close()


def proxy_that(status: bytes, heads: list[str]) -> Handler:
    """A proxy that answers CONNECT with `status` and, if that is 200, passes bytes on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        writer.write(b"HTTP/1.1 %b\r\nvia: test\r\n\r\n" % status)
        if not status.startswith(b"200"):
            writer.close()
            return
        host, _, port = head.split(" ")[1].rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(passed(reader, up_writer), passed(up_reader, writer))

    return serve


async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except (OSError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


CERTIFICATE = Path(__file__).parent / "support" / "loopback.pem"
"""Certificate and key of 127.0.0.1, made for these tests alone."""


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


async def answer_of(origin: Origin) -> bytes:
    talk = await open_connection(origin, Talk, trusting, 20)
    async with asyncio.timeout(20):
        answer = await talk.answer
    talk.transport.abort()
    return answer


async def failure_of(
    origin: Origin, tls: Callable[[], ssl.SSLContext] = trusting, limit_s: float = 20
) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as failed:
        await open_connection(origin, Talk, tls, limit_s)
    return failed.value


def at(port: int, user: str = "") -> Proxy:
    return parse_proxy(f"http://{user}127.0.0.1:{port}")


@pytest.mark.parametrize("user", ["", "kim:geheim@"])
async def test_an_encrypted_target_is_reached_through_the_proxys_tunnel(user: str) -> None:
    heads: list[str] = []
    async with (
        listening(pong, server_tls()) as target,
        listening(proxy_that(b"200 OK", heads)) as proxy,
    ):
        assert await answer_of(Origin("127.0.0.1", target, True, at(proxy, user))) == b"pong"
    assert heads[0].startswith(f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\nhost: 127.0.0.1:{target}\r\n")
    assert ("proxy-authorization: Basic a2ltOmdlaGVpbQ==" in heads[0]) is bool(user)


async def test_a_proxy_may_be_encrypted_itself() -> None:
    async with (
        listening(pong, server_tls()) as target,
        listening(proxy_that(b"200 OK", []), server_tls()) as proxy,
    ):
        through = parse_proxy(f"https://127.0.0.1:{proxy}")
        assert await answer_of(Origin("127.0.0.1", target, True, through)) == b"pong"


async def test_a_target_without_encryption_is_asked_for_at_the_proxy_itself() -> None:
    async with listening(pong) as proxy:
        assert await answer_of(Origin("target.invalid", 80, False, at(proxy))) == b"pong"


async def test_a_proxy_that_refuses_is_quoted() -> None:
    for status, hint in ((b"407 Proxy Authentication Required", "user and password"), (b"403 No", "")):
        async with listening(proxy_that(status, [])) as proxy:
            failure = await failure_of(Origin("x.invalid", 443, True, at(proxy)))
        assert status.decode() in failure.cause
        assert f"127.0.0.1:{proxy}" in str(failure)
        assert "127.0.0.1" not in failure.cause
        assert hint in failure.hint


async def test_a_proxy_that_is_not_there_or_says_nothing_is_named() -> None:
    failure = await failure_of(Origin("x.invalid", 443, True, at(free_port())))
    assert failure.cause == "the proxy refuses the connection"

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(silent) as proxy:
        failure = await failure_of(Origin("x.invalid", 443, True, at(proxy)), limit_s=0.05)
    assert failure.cause == "no connection within 0.05 s"
    failure = await failure_of(Origin("x.invalid", 443, True, Proxy("", 0, problem="no SOCKS")))
    assert failure.cause == "no SOCKS"


async def test_each_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    failure = await failure_of(Origin("127.0.0.1", port, False))
    assert (failure.cause, str(failure)) == (
        "it refuses the connection",
        f"127.0.0.1:{port} refuses the connection",
    )
    async with listening(pong, server_tls()) as target:
        failure = await failure_of(Origin("127.0.0.1", target, True), ssl.create_default_context)
    assert "certificate is not trusted" in failure.cause
    assert "SSL_CERT_FILE" in failure.hint

    async def plain_text(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1)
        writer.close()

    async with listening(plain_text) as plain:
        failure = await failure_of(Origin("127.0.0.1", plain, True))
    assert failure.cause.startswith(("TLS failed", "it cannot be connected"))

    async def unknown(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    failure = await failure_of(Origin("llm.invalid", 443, True))
    assert (failure.cause, str(failure)) == (
        "its name does not resolve",
        "the name 'llm.invalid' does not resolve",
    )


async def test_a_lack_of_descriptors_is_told_as_the_gateways_own(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    number = OSError(errno.EMFILE, "Too many open files")
    lookup = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    for error, left, ours in ((number, True, True), (lookup, False, True), (lookup, True, False)):

        async def fail(*_args: object, error: OSError = error, **_more: object) -> None:
            raise error

        monkeypatch.setattr(loop, "create_connection", fail)
        monkeypatch.setattr("server.upstreams.connect.one_is_left", lambda left=left: left)
        failure = await failure_of(Origin("worker", 80, False))
        assert failure.ours is ours
        assert ("file descriptor" in failure.cause) is ours
