"""Signs of life for a stream that waits for its first event, so that no proxy between takes it for dead.

Opt-in, because it costs truth: status 200 goes out before anyone knows whether the request succeeds.
"""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from server.client.protocol import ClientConnection, Phase
from server.inference import dialects
from server.inference.job import STREAM_HEADERS, Job


@dataclass(slots=True)
class KeepAlive:
    """In its block, `sign` is sent to a waiting client every `every_s` seconds until its answer begins."""

    client: ClientConnection
    headers: bytes
    """Of the answer, should the first sign have to begin it."""
    sign: bytes
    every_s: float
    _timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._wait()

    def __exit__(self, *_ended: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.every_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.client.gone or self.client.phase not in (Phase.WAITING, Phase.HELD):
            return
        if self.client.writable:
            self.client.hold(self.headers, self.sign)
        self._wait()


_NOT_KEPT_ALIVE = nullcontext()


def kept_alive(job: Job, every_s: float) -> AbstractContextManager[None]:
    """Signs of life while a stream waits in the block, where the settings want them (`every_s` not 0)."""
    if not every_s or not job.stream:
        return _NOT_KEPT_ALIVE
    return KeepAlive(
        job.client, STREAM_HEADERS + job.headers, dialects.KEEP_ALIVE[job.route.dialect], every_s
    )
