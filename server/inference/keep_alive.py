"""Signs of life for a stream that waits for its first event, so that no proxy between takes it for dead.

Opt-in, because it costs truth: status 200 goes out before anyone knows whether the request succeeds.
"""

import asyncio
from dataclasses import dataclass

from server.client.protocol import ClientConnection, Phase
from server.record import RequestRecord


@dataclass(slots=True)
class KeepAlive:
    """In its block, `sign` is sent to a waiting client every `every_s` seconds until its answer begins."""

    client: ClientConnection
    record: RequestRecord
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
            self.record.status = 200
            self.client.hold(self.headers, self.sign)
        self._wait()
