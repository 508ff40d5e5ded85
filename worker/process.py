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
LAST_LINES_S = 0.5
"""How long to read on after the engine has ended."""


class EngineProcess:
    """A running engine in its own session. Use `start`; always `await end()` in the end."""

    def __init__(self, process: asyncio.subprocess.Process, output: int) -> None:
        self._process = process
        self._output = output
        self.last_error = ""
        """The last line that looked like an error, for people."""

    @classmethod
    async def start(cls, command: EngineCommand) -> "EngineProcess":
        """Spawn the engine. Raises OSError."""
        # A pipe of our own: asyncio's `wait` returns only when its pipes are closed too, and a
        # grandchild that outlives a killed engine would keep them open.
        output, their_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                env=dict(command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=their_end,
                stderr=their_end,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(their_end)
        return cls(process, output)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def read_lines(self, on_line: Callable[[str], None]) -> int:
        """Pass every line on until the process ends; returns its exit code."""
        reading = asyncio.create_task(self._pump(on_line))
        try:
            return await self._process.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reading, LAST_LINES_S)

    async def _pump(self, on_line: Callable[[str], None]) -> None:
        stream = asyncio.StreamReader(limit=1024 * 1024)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(self._output, "rb", buffering=0)
        )
        try:
            while True:
                try:
                    raw = await stream.readline()
                except ValueError:  # a line beyond the limit
                    continue
                if not raw:
                    return
                line = raw.decode("utf-8", "replace").rstrip()
                if "Error" in line or "ERROR" in line:
                    self.last_error = line.strip()[-300:]
                on_line(line)
        finally:
            transport.close()

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
    """Linux: the kernel stops the engine when its supervisor is gone, however that happened (prctl(2)).

    SIGTERM, not SIGKILL: vLLM then ends its EngineCore process too, which would live on as an orphan.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
