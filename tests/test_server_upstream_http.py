"""Reading an engine's answer: however TCP cuts it, the same body comes out."""

import asyncio
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st

from server.chunks import framed, sole_event
from server.upstream_http import Broken, Connection, ConnectionPool

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Received:
    """A receiver that keeps what it is given."""

    def __init__(self, takes_chunks: bool) -> None:
        self.takes_chunks = takes_chunks
        self.body = b""
        self.reads = 0
        self.ended = False
        self.broken: Broken | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert status == 200

    def on_chunks(self, data: bytes) -> bool:
        body = sole_event(data) if self.takes_chunks else b""
        self.body += body
        return bool(body)

    def on_data(self, data: bytes) -> None:
        self.body += data
        self.reads += 1

    def on_end(self) -> None:
        self.ended = True

    def on_broken(self, error: Broken) -> None:
        self.broken = error


class Transport:
    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def asked(takes_chunks: bool) -> tuple[Connection, Received]:
    connection, received = Connection(ConnectionPool(1), ("engine", 80, False)), Received(takes_chunks)
    connection.connection_made(cast(asyncio.BaseTransport, Transport()))
    connection.request(b"GET / HTTP/1.1\r\n\r\n", b"", received)
    return connection, received


bodies = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40).map(lambda body: body + b"\n\n"),
        st.binary(min_size=1, max_size=40),
        st.sampled_from([b"\n\n", b"\n\n\r\n", b"5\r\nabc\n\n\r\n", b"x" * 5000 + b"\n\n"]),
    ),
    min_size=1,
    max_size=8,
)


@given(bodies, st.data(), st.booleans())
@example([b"1\n\n", b"2\n\n", b"5\r\nab\n\n\r\n", b"3\n\n"], None, False)
@example([b"1\n\n", b"2\n\n", b"5\r\nab\n\n\r\n", b"3\n\n"], None, True)
def test_any_cut_of_a_chunked_answer_gives_the_same_body(
    chunks: list[bytes], data: st.DataObject | None, takes_chunks: bool
) -> None:
    pieces = [HEAD, *map(framed, chunks), b"0\r\n\r\n"]
    raw = b"".join(pieces)
    if data is not None and data.draw(st.booleans()):  # else: a read for each chunk, as a slow engine writes
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    connection, received = asked(takes_chunks)
    for piece in filter(None, pieces):
        connection.data_received(piece)
    assert (received.body, received.ended, received.broken) == (b"".join(chunks), True, None)


@given(bodies, st.binary(min_size=1, max_size=12), st.booleans())
def test_a_broken_frame_is_seen_also_after_frames_that_were_whole(
    chunks: list[bytes], junk: bytes, takes_chunks: bool
) -> None:
    connection, received = asked(takes_chunks)
    for piece in [HEAD, *map(framed, chunks)]:
        connection.data_received(piece)
    connection.data_received(b"-1\r\n" + junk + b"\n\n\r\n")
    assert received.broken is not None
    assert received.body == b"".join(chunks)
