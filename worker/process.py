"""One engine process: started, read line by line, ended with everything it started."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable

from worker.engine import EngineCommand

PR_SET_PDEATHSIG = 1
TERMINATE_GRACE_S = 10.0


class EngineProcess:
    """A running engine in its own session. Use `start`; always `await end()` in the end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.last_error = ""
        """The last line that looked like an error, for people."""

    @classmethod
    async def start(cls, command: EngineCommand) -> "EngineProcess":
        """Spawn the engine. Raises OSError."""
        return cls(
            await asyncio.create_subprocess_exec(
                *command.argv,
                env=dict(command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                limit=1024 * 1024,
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read_lines(self, on_line: Callable[[str], None]) -> int:
        """Pass every line on until the process ends; returns its exit code."""
        assert self._process.stdout is not None
        # The exit is awaited on its own: a grandchild that keeps the pipe open must not hide it.
        reading = asyncio.create_task(self._pump(self._process.stdout, on_line))
        try:
            return await self._process.wait()
        finally:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(reading, 1.0)

    async def _pump(self, stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                continue
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip()
            if "Error" in line or "ERROR" in line:
                self.last_error = line.strip()[-300:]
            on_line(line)

    async def end(self) -> None:
        """SIGTERM, then SIGKILL to the whole process group; returns when nothing of it is left."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), TERMINATE_GRACE_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


def _die_with_parent() -> None:
    """Linux: the kernel kills the engine when its supervisor is gone, however that happened (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
