"""Those who follow the registry: each has a bounded queue, and one that falls behind is cut off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from common.registry import Delta, Snapshot

QUEUE_LENGTH = 256
KEEP_ALIVE_S = 5.0
SEND_LIMIT_S = 20.0
"""A watcher that takes nothing for this long is gone or stuck; its connection is closed."""


@dataclass(slots=True)
class Watchers:
    """All open watches."""

    _queues: set["asyncio.Queue[Delta | None]"] = field(default_factory=set)

    def publish(self, delta: Delta) -> None:
        """Hand `delta` to everyone; who is full is cut off and comes back for a snapshot."""
        for queue in list(self._queues):
            if queue.full():
                self._queues.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(delta)

    def close(self) -> None:
        """End all watches: their readers find another controller at once."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        self._queues.clear()

    async def follow(self, take_snapshot: Callable[[], Snapshot]) -> AsyncIterator[bytes]:
        """The event stream of one watcher."""
        with self._queue() as queue:
            # Taken after the queue is open, so that no change falls between the two.
            yield _event("snapshot", take_snapshot().model_dump_json())
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        delta = await queue.get()
                except TimeoutError:
                    yield b": keep-alive\n\n"
                    continue
                if delta is None:
                    return
                yield _event("delta", delta.model_dump_json())

    @contextmanager
    def _queue(self) -> Iterator["asyncio.Queue[Delta | None]"]:
        queue: asyncio.Queue[Delta | None] = asyncio.Queue(QUEUE_LENGTH)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)


class WatchResponse(StreamingResponse):
    """An event stream that gives up on a reader who does not read."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})

    async def stream_response(self, send: Send) -> None:
        """Send all events. Raises ConnectionError when the reader is stuck."""

        async def bounded_send(message: Message) -> None:
            try:
                async with asyncio.timeout(SEND_LIMIT_S):
                    await send(message)
            except TimeoutError as error:
                raise ConnectionError("a watcher does not read; its connection is closed") from error

        await super().stream_response(bounded_send)


def _event(kind: str, data: str) -> bytes:
    return f"event: {kind}\ndata: {data}\n\n".encode()
