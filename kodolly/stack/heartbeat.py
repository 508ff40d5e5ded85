"""How a parent knows that a child serves, and that it still does: bytes in a pipe from the child's loop.

A process that is stopped, or whose loop is blocked, writes none. Time in which the parent did not run either
(a suspended machine, a paused container) does not count, nor time under a debugger.
"""

import asyncio
import os
from pathlib import Path

READY_FD = "KODOLLY_READY_FD"
"""Environment variable with the number of the pipe's end that the child writes to."""
BEAT_S = 1.0
HUNG_AFTER_S = 30.0
"""Silence after which a child counts as hung (gunicorn's default, too)."""


class Pulse(asyncio.Protocol):
    """The parent's end."""

    def __init__(self) -> None:
        self._ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._beaten = False
        self._transport: asyncio.BaseTransport | None = None

    @classmethod
    async def of(cls, read: int) -> "Pulse":
        """Listen at the pipe's end `read`, which is closed with the child's."""
        pipe = os.fdopen(read, "rb", buffering=0)
        _, pulse = await asyncio.get_running_loop().connect_read_pipe(cls, pipe)
        return pulse

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        self._beaten = True
        if not self._ready.done():
            self._ready.set_result(True)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._ready.done():
            self._ready.set_result(False)

    async def ready(self, within_s: float) -> bool:
        """Whether the child said that it serves, before it ended and in this time."""
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            return False

    async def stops(self, pid: int, after_s: float) -> None:
        """Returns when the child has been silent for `after_s` seconds."""
        loop = asyncio.get_running_loop()
        silent_s, last = 0.0, loop.time()
        while silent_s < after_s:
            await asyncio.sleep(BEAT_S)
            now = loop.time()
            if self._beaten or _is_traced(pid):
                silent_s = 0.0
            else:
                silent_s += min(now - last, 2 * BEAT_S)
            self._beaten, last = False, now

    def close(self) -> None:
        """Listen no more."""
        if self._transport is not None:
            self._transport.close()


def start_beating() -> None:
    """Tell the parent, if one listens, that this process serves, and go on telling it from the loop."""
    number = os.environ.pop(READY_FD, None)
    if number is None:
        return
    write = int(number)
    os.set_inheritable(write, False)
    os.set_blocking(write, False)
    _beat(asyncio.get_running_loop(), write)


def _beat(loop: asyncio.AbstractEventLoop, write: int) -> None:
    try:
        os.write(write, b".")
    except BlockingIOError:
        pass  # a parent that does not read now has enough to read
    except OSError:  # nobody listens any more
        os.close(write)
        return
    loop.call_later(BEAT_S, _beat, loop, write)


def _is_traced(pid: int) -> bool:
    """Whether a debugger holds the process (proc_pid_status(5), TracerPid)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())
