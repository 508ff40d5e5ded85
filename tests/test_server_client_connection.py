"""One request has one answer: whatever the code above does, no second status line reaches the client."""

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from server.client.protocol import AnswerBegun, ClientConnection, GatewayProtocol, Phase, take_client
from tests.support.asgi_server import serving
from tests.support.processes import PATIENCE_S

STEPS: dict[str, Callable[[ClientConnection], object]] = {
    "answer": lambda client: client.answer(200, b"", b"whole"),
    "start": lambda client: client.start(200, b"", b"first"),
    "hold": lambda client: client.hold(b"", b": alive\n\n"),
    "write": lambda client: client.write(b"more"),
    "chunk": lambda client: client.write_chunk(b"4\r\nmore\r\n"),
    "end": lambda client: client.end(b"last"),
    "end-bare": lambda client: client.end(),
}
LEGAL = re.compile(r"answer|(hold,)*start(,write|,chunk)*,end(-bare)?|hold(,hold)*,end(-bare)?")
NEXT = "/v1/chat/completions?answer"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Does to the client's connection what the query says, one step after the other, whatever they raise."""
    client = take_client(scope)
    for step in scope["query_string"].decode().split(","):
        try:
            STEPS[step](client)
        except AnswerBegun:
            continue
    if client.phase is Phase.WAITING:
        client.answer(500, b"", b"nothing was said")
    elif client.phase is not Phase.DONE:
        client.end()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(app, GatewayProtocol) as started:
        yield started


def all_that_comes(url: str, version: str, *targets: str) -> bytes:
    """Every byte of a connection on which these were asked at once, until it ends."""
    address = urlsplit(url)
    said = b""
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as connection:
        head = f"HTTP/{version}\r\nhost: {address.netloc}\r\n"
        asked = [f"POST {target} {head}content-length: 0\r\n\r\n" for target in targets[:-1]]
        asked.append(f"POST {targets[-1]} {head}content-length: 0\r\nconnection: close\r\n\r\n")
        connection.sendall("".join(asked).encode())
        try:
            while part := connection.recv(65536):
                said += part
        except ConnectionResetError:
            pass
    return said


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), st.sampled_from(["1.1", "1.0"]))
@example(["start", "answer"], "1.1")
@example(["start", "start", "end"], "1.1")
@example(["hold", "answer"], "1.1")
@example(["answer", "answer"], "1.1")
@example(["start", "end", "write", "end"], "1.1")
@example(["write"], "1.1")
@example(["chunk", "answer"], "1.1")
@example(["end-bare"], "1.0")
def test_no_answer_begins_inside_another(url: str, steps: list[str], version: str) -> None:
    said = all_that_comes(url, version, f"/v1/chat/completions?{','.join(steps)}", NEXT)
    lines = [found.start() for found in re.finditer(rb"HTTP/1\.[01] \d{3}", said)]
    assert len(lines) <= 2, "more answers than requests"
    if said:
        assert lines[0] == 0, "bytes before the first status line"
    if len(lines) == 2:
        first, second = said[: lines[1]], said[lines[1] :]
        head, _, body = first.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            assert body.endswith(b"0\r\n\r\n"), "the second answer begins inside the first"
        else:
            (length,) = re.findall(rb"content-length: (\d+)", head)
            assert len(body) == int(length), "the second answer begins inside the first"
        assert second.endswith(b"whole")
    if LEGAL.fullmatch(",".join(steps)) and version == "1.1":
        assert len(lines) == 2, "a connection was cut for no reason"


def test_a_stream_that_was_held_goes_on_as_one_answer(url: str) -> None:
    said = all_that_comes(url, "1.1", "/v1/chat/completions?hold,hold,start,write,end")
    assert said.count(b"HTTP/1.1 200") == 1
    assert said.endswith(
        b"\r\n\r\n9\r\n: alive\n\n\r\n"
        + b"9\r\n: alive\n\n\r\n5\r\nfirst\r\n4\r\nmore\r\n4\r\nlast\r\n0\r\n\r\n"
    )
