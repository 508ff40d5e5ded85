"""A gateway that stops: connections on which a request is on its way are answered first."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

import server.client.protocol
from common.serve import bound_socket, serve
from server.client.protocol import GatewayProtocol, open_connections

REQUEST = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
NEVER_S = 3600.0


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"well"})


@asynccontextmanager
async def stopping_gateway() -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """The server, to be stopped by the block, and its port."""
    config = uvicorn.Config(
        app, port=0, log_level="critical", lifespan="off", ws="none", http=GatewayProtocol
    )
    gateway = uvicorn.Server(config)
    serving = asyncio.create_task(gateway.serve())
    while not gateway.started:
        await asyncio.sleep(0)
    try:
        async with asyncio.timeout(60):
            yield gateway, gateway.servers[0].sockets[0].getsockname()[1]
    finally:
        gateway.should_exit = True
        await serving


async def until_open(count: int) -> None:
    while open_connections() < count:
        await asyncio.sleep(0)


def patience(monkeypatch: pytest.MonkeyPatch, last_s: float, first_s: float) -> None:
    monkeypatch.setattr(server.client.protocol, "LAST_REQUEST_S", last_s)
    monkeypatch.setattr(server.client.protocol, "FIRST_REQUEST_S", first_s)


async def test_the_first_request_of_a_connection_is_waited_for_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patience(monkeypatch, last_s=0.0, first_s=NEVER_S)
    before = open_connections()
    async with stopping_gateway() as (gateway, port):
        used, asking = await asyncio.open_connection("127.0.0.1", port)
        asking.write(REQUEST)
        await used.readuntil(b"well")
        fresh, first = await asyncio.open_connection("127.0.0.1", port)
        await until_open(before + 2)
        gateway.should_exit = True
        assert await used.read() == b""
        first.write(REQUEST)
        answer = await fresh.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert answer.endswith(b"well")
        for writer in (asking, first):
            writer.close()


async def test_a_head_that_has_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, last_s=0.0, first_s=0.0)
    before = open_connections()
    async with stopping_gateway() as (gateway, port):
        used, asking = await asyncio.open_connection("127.0.0.1", port)
        asking.write(REQUEST)
        await used.readuntil(b"well")
        begun, first = await asyncio.open_connection("127.0.0.1", port)
        silent, saying_nothing = await asyncio.open_connection("127.0.0.1", port)
        await until_open(before + 3)
        for writer in (asking, first):
            writer.write(REQUEST[:9])
        while sum(protocol._in_head for protocol in server.client.protocol._open) < 2:
            await asyncio.sleep(0)
        gateway.should_exit = True
        assert await silent.read() == b""
        for reader, writer in ((used, asking), (begun, first)):
            writer.write(REQUEST[9:])
            answer = await reader.read()
            assert b"connection: close" in answer
            assert answer.endswith(b"well")
        for writer in (asking, first, saying_nothing):
            writer.close()


def test_a_connection_taken_in_the_last_moment_is_told_of_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would stay open as if nothing had happened, and be cut at the end of the grace."""
    patience(monkeypatch, last_s=0.0, first_s=NEVER_S)
    clients: list[socket.socket] = []

    async def connect_and_stop(_server: uvicorn.Server, _counter: int) -> bool:
        clients.append(socket.create_connection(address))
        await asyncio.sleep(0)  # the loop accepts it, and tells its protocol in its next turn
        return True

    monkeypatch.setattr(uvicorn.Server, "on_tick", connect_and_stop)
    with bound_socket("127.0.0.1", 0) as listening:
        listening.listen()
        address = listening.getsockname()
        serving = threading.Thread(
            target=serve,
            args=(app, *address),
            kwargs={"setting": "", "grace_s": 5, "protocol": GatewayProtocol, "listening": listening},
            daemon=True,
        )
        serving.start()
        while serving.is_alive() and not any(protocol._stopping for protocol in server.client.protocol._open):
            serving.join(0.01)
        (client,) = clients
        with client:
            client.sendall(REQUEST)
            answer = b""
            while data := client.recv(4096):
                answer += data
        assert b"connection: close" in answer
        serving.join()
