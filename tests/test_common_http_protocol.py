"""What a client may send before anybody looks at it: heads, trailers and framing have an end."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.http_protocol import HEAD_BYTES, HEAD_LINES, BoundedProtocol
from server.client.protocol import GatewayProtocol
from tests.support.asgi_server import serving
from tests.support.conformance.wire import Answer, talk
from tests.support.processes import PATIENCE_S

START = b"POST /echo HTTP/1.1\r\nhost: x\r\n"
MANY = 4 * HEAD_BYTES


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            break
    else:
        return
    seen = {
        "path": scope["path"],
        "names": [name.decode() for name, _ in scope["headers"]],
        "host": ", ".join(value.decode() for name, value in scope["headers"] if name == b"host") or None,
        "body": len(body),
    }
    answer = json.dumps(seen).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
    )
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture(scope="module", params=[BoundedProtocol, GatewayProtocol])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(echo, request.param) as address:
        yield address


def first(answers: list[Answer]) -> Answer:
    assert answers, "the connection was closed without a word"
    return answers[0]


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * MANY,
        START + b"x-a: " + b"a" * MANY,
        START + b"a" * MANY,
        START + b"".join(b"x-%d: 1\r\n" % number for number in range(HEAD_LINES + 50)),
        START + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * MANY,
        START + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-a: " + b"a" * MANY,
        START + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: 1\r\n" * (HEAD_LINES + 50),
    ],
    ids=["request line", "value", "name", "lines", "chunk extension", "trailer", "trailers"],
)
@pytest.mark.parametrize("size", [MANY * 2, 20_000])
def test_what_does_not_end_is_refused_as_it_comes(url: str, endless: bytes, size: int) -> None:
    """No end of the head is ever sent."""
    parts = [endless[at : at + size] for at in range(0, len(endless), size)]
    answer = first(talk(url, *parts))
    assert answer.status == 431
    assert answer.json()["error"]["code"] == "headers_too_large"


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_the_limit_of_a_whole_head_is_exact(url: str, more: int, status: int) -> None:
    used = len("/echo") + len("host") + len("x") + 4 + len("x-a") + 4
    head = START + b"x-a: " + b"a" * (HEAD_BYTES - used + more) + b"\r\n\r\n"
    assert first(talk(url, head.replace(b"POST", b"GET"))).status == status


@pytest.mark.parametrize(("lines", "status"), [(HEAD_LINES, 200), (HEAD_LINES + 1, 431)])
def test_the_limit_of_lines_is_exact(url: str, lines: int, status: int) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"host: x\r\n" * lines + b"\r\n"
    assert first(talk(url, head)).status == status


def test_a_large_body_is_no_head(url: str) -> None:
    size = 5_000_000
    whole = START + b"content-length: %d\r\n\r\n" % size + b"a" * size
    assert first(talk(url, whole)).json()["body"] == size
    chunks = b"".join(b"1\r\na\r\n" for _ in range(100_000)) + b"0\r\n\r\n"
    assert first(talk(url, START + b"transfer-encoding: chunked\r\n\r\n" + chunks)).json()["body"] == 100_000


def test_trailers_do_not_join_the_headers(url: str) -> None:
    trailers = b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nauthorization: Bearer x\r\n\r\n"
    assert "authorization" not in first(talk(url, START + trailers)).json()["names"]


def test_an_answer_on_its_way_is_not_cut_by_what_follows(url: str) -> None:
    answers = talk(url, START + b"content-length: 1\r\n\r\na" + b"\x00\x01 no HTTP\r\n\r\n", answers=2)
    assert answers[0].status == 200
    assert [answer.status for answer in answers[1:]] in ([], [400])


OFFERED = (
    START + b"connection: Upgrade\r\nupgrade: h2c\r\ncontent-length: 4\r\n\r\nabcd",
    START
    + b"connection: Upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
)


@pytest.mark.parametrize("offer", OFFERED, ids=["length", "chunks", "no body"])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_an_offer_to_upgrade_is_ignored_whatever_the_packets(
    url: str, offer: bytes, data: st.DataObject
) -> None:
    """RFC 9110, 7.8. What follows on the connection is understood, too."""
    stream = offer * 2 + b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    answers = [answer.json() for answer in talk(url, *parts, answers=3)]
    size = 0 if offer.startswith(b"GET") else 4
    assert [(answer["path"], answer["body"]) for answer in answers] == [
        ("/echo", size),
        ("/echo", size),
        ("/last", 0),
    ]


@pytest.mark.parametrize(
    ("target", "hosts", "seen"),
    [
        (b"http://evil.test/echo", [b"x"], b"evil.test"),
        (b"http://evil.test:81/echo?a=//b", [b"x"], b"evil.test:81"),
        (b"http://user@x/echo", [b"x"], b"user@x"),
        (b"/echo?a=http://evil.test/", [b"x"], b"x"),
        (b"http://evil.test/echo", [], None),
        (b"http://evil.test/echo", [b"x", b"y"], b"x, y"),
    ],
)
def test_the_host_in_the_target_is_the_one_that_counts(
    url: str, target: bytes, hosts: list[bytes], seen: bytes | None
) -> None:
    lines = b"".join(b"host: %b\r\n" % host for host in hosts)
    request = b"GET %b HTTP/1.1\r\n%bcontent-length: 0\r\n\r\n" % (target, lines)
    told = json.loads(first(talk(url, request)).body)
    assert told["path"] == "/echo"
    assert told["host"] == (None if seen is None else seen.decode())


def test_a_tunnel_is_not_dug(url: str) -> None:
    target = urlsplit(url)
    with socket.create_connection((target.hostname or "", target.port or 0), timeout=20) as connection:
        connection.sendall(b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\nGET /inside HTTP/1.1\r\nhost: x\r\n\r\n")
        answered = b""
        while data := connection.recv(4096):
            answered += data
    assert b"/inside" not in answered


async def refuse(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.mark.parametrize("protocol", [BoundedProtocol, GatewayProtocol])
def test_a_client_that_sends_on_reads_its_answer_and_is_not_listened_to_for_ever(
    protocol: type[BoundedProtocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.http_protocol.LINGER_S", 60.0)
    monkeypatch.setattr("common.http_protocol.LINGER_BYTES", 8 * 2**20)
    block = bytes(2**20)
    with serving(refuse, protocol) as address:
        target = urlsplit(address)
        with socket.create_connection((target.hostname or "", target.port or 0), timeout=60) as client:
            client.sendall(START + b"content-length: %d\r\n\r\n" % 2**40 + 4 * block)
            told = b"".join(iter(lambda: client.recv(65536), b""))
            assert told.startswith(b"HTTP/1.1 401 ")
            with pytest.raises(ConnectionError):
                while True:
                    client.sendall(block)


REQUEST = b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n"


def test_an_idle_connection_is_closed_and_one_in_use_is_not() -> None:
    open_: list[BoundedProtocol] = []

    class Watched(BoundedProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.timeout_keep_alive = 3600
            open_.append(self)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/due":  # the timer that the answer before has set
            open_[0].timeout_keep_alive = 0
            open_[0].timeout_keep_alive_handler()
        await echo(scope, receive, send)

    with serving(app, Watched) as address:
        parts = urlsplit(address)
        with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as client:
            client.sendall(REQUEST)
            assert b" 200 " in client.recv(65536)
            open_[0].loop.call_soon_threadsafe(open_[0].timeout_keep_alive_handler)  # not idle for so long
            client.sendall(REQUEST.replace(b"echo", b"due"))
            assert b" 200 " in client.recv(65536)
            assert client.recv(65536) == b""
