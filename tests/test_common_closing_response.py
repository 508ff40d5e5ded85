"""What a streamed answer is made from is closed, however the answer ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from common.closing_response import ClosingResponse

SCOPE: Scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "path": "/"}


class Source:
    """Gives pieces until it is closed."""

    closed = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"piece"

    async def broken(self) -> AsyncIterator[bytes]:
        yield b"piece"
        raise ValueError("broken")

    async def waiting(self) -> AsyncIterator[bytes]:
        yield b"piece"
        await asyncio.Event().wait()

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


async def never() -> Message:
    return await asyncio.Future()


async def test_a_whole_answer_is_closed_behind_its_last_piece() -> None:
    source, sent = Source(), list[Message]()

    async def send(message: Message) -> None:
        assert source.closed == 0
        sent.append(message)

    await ClosingResponse(source.pieces(), source.close)(SCOPE, never, send)
    assert b"".join(message.get("body", b"") for message in sent) == b"piece" * 3
    assert source.closed == 1


@pytest.mark.parametrize("sends", [0, 1, 2])
async def test_a_client_that_leaves_closes_it_also_before_the_first_piece(sends: int) -> None:
    source, sent = Source(), list[Message]()

    async def send(message: Message) -> None:
        if len(sent) == sends:
            raise OSError("gone")
        sent.append(message)

    with pytest.raises(ClientDisconnect):
        await ClosingResponse(source.pieces(), source.close)(SCOPE, never, send)
    assert source.closed == 1


async def test_what_breaks_off_is_closed() -> None:
    source = Source()

    async def send(message: Message) -> None:
        pass

    with pytest.raises(ValueError, match="broken"):
        await ClosingResponse(source.broken(), source.close)(SCOPE, never, send)
    assert source.closed == 1


async def test_a_request_that_is_cancelled_closes_it() -> None:
    source, began = Source(), asyncio.Event()

    async def send(message: Message) -> None:
        if message.get("body"):
            began.set()

    task = asyncio.create_task(ClosingResponse(source.waiting(), source.close)(SCOPE, never, send))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed == 1
