"""Reading an engine's answer: however TCP cuts it, the same body comes out."""

import asyncio
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.client.chunks import framed, sole_event
from server.upstreams.coalescing import FEW_READS, PAUSE_S, SHORT_TURN_S, Coalescing
from server.upstreams.connect import Origin
from server.upstreams.connection import Broken, Connection, ConnectionPool

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Received:
    """A receiver that keeps what it is given."""

    is_stream = False

    def __init__(self, takes_chunks: bool) -> None:
        self.takes_chunks = takes_chunks
        self.body = b""
        self.reads = 0
        self.ended = False
        self.broken: Broken | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert status == 200

    def on_chunks(self, data: bytes) -> int:
        body = sole_event(data) if self.takes_chunks else b""
        self.body += body
        return int(bool(body))

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

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Reads(Coalescing):
    def __init__(self) -> None:
        super().__init__()
        self.chunks: list[int] = []

    def read(self, chunks: int) -> None:
        self.chunks.append(chunks)


def asked(receiver: Received, reads: Reads) -> Connection:
    connection = Connection(ConnectionPool(1, reads), Origin("engine", 80, False))
    connection.connection_made(cast(asyncio.BaseTransport, Transport()))
    connection.request(b"GET / HTTP/1.1\r\n\r\n", b"", receiver)
    return connection


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
    received = Received(takes_chunks)
    connection = asked(received, Reads())
    for piece in filter(None, pieces):
        connection.data_received(piece)
    assert (received.body, received.ended, received.broken) == (b"".join(chunks), True, None)


@given(bodies, st.binary(min_size=1, max_size=12), st.booleans())
def test_a_broken_frame_is_seen_also_after_frames_that_were_whole(
    chunks: list[bytes], junk: bytes, takes_chunks: bool
) -> None:
    received = Received(takes_chunks)
    connection = asked(received, Reads())
    for piece in [HEAD, *map(framed, chunks)]:
        connection.data_received(piece)
    connection.data_received(b"-1\r\n" + junk + b"\n\n\r\n")
    assert received.broken is not None
    assert received.body == b"".join(chunks)


class TakesAll(Received):
    def on_chunks(self, data: bytes) -> int:
        self.body += data
        return data.count(b"\n\n\r\n")


@pytest.mark.parametrize("receiver", [Received, TakesAll])
def test_the_chunks_of_each_read_are_counted_while_a_stream_runs(receiver: type[Received]) -> None:
    seen = Reads()
    connection = asked(receiver(takes_chunks=False), seen)
    connection.data_received(HEAD + framed(b"data: 1\n\n"))
    for chunks in (1, 3, 1, 2):
        connection.data_received(framed(b"data: 2\n\n") * chunks)
    connection.data_received(framed(b"data: [DONE]\n\n")[:-4])
    assert seen.chunks == [1, 1, 3, 1, 2]


def test_plain_answers_are_read_without_pauses() -> None:
    seen, received = Reads(), Received(takes_chunks=False)
    connection = asked(received, seen)
    connection.data_received(HEAD + framed(b"{"))
    connection.data_received(framed(b" ") + framed(b" "))
    connection.data_received(framed(b"}\n\n") + b"0\r\n\r\n")
    assert (received.ended, seen.chunks) == (True, [])


async def turns(lengths_s: list[float], reads: list[int]) -> list[int]:
    """After which of the turns of a loop, which take so long and have reads of so many chunks, it pauses."""
    clock, paused = 100.0, []

    def pause(seconds: float) -> None:
        assert seconds == PAUSE_S
        paused.append(turn)

    coalescing = Coalescing(pause, lambda: clock)
    for turn, length in enumerate(lengths_s):  # noqa: B007  (pause() looks at it)
        clock += length
        for chunks in reads:
            coalescing.read(chunks)
        await asyncio.sleep(0)
    return paused


def test_the_loop_pauses_once_after_a_turn_that_came_soon_and_gathered_little() -> None:
    short, long = SHORT_TURN_S / 2, SHORT_TURN_S * 2
    one_event, burst, many = [1], [1] * FEW_READS + [2], [1] * (FEW_READS + 1)
    assert asyncio.run(turns([short, short, short], one_event)) == [1, 2]
    assert asyncio.run(turns([short, short, short], burst)) == [1, 2]
    assert asyncio.run(turns([short, short, short], many)) == []
    assert asyncio.run(turns([long, long, short, short, long, short], one_event)) == [2, 3, 5]
    assert asyncio.run(turns([short] * 5, [])) == []
