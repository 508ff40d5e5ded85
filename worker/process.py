"""One engine process: started, read line by line, ended with everything it started."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from common.child_process import ending_with_parent
from worker.engine import EngineCommand

TERMINATE_GRACE_S = 10.0
LAST_LINES_S = 0.5
"""How long, in seconds, to read its output after the engine has ended."""
LINE_BYTES = 1024 * 1024
ORPHAN_GRACE_S = 3
GUARD = f'read -r _ && exit; sleep {ORPHAN_GRACE_S}; kill -s KILL -- "-$1"'
"""Shell: when its input ends without a line, its supervisor is gone; kill the engine's process group."""


class EngineProcess:
    """A running engine in its own session. Use `start`; always `await end()` in the end."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        guard: asyncio.subprocess.Process,
        reading: "asyncio.Task[None]",
    ) -> None:
        self._process = process
        self._guard = guard
        self._reading = reading

    @classmethod
    async def start(cls, command: EngineCommand, on_line: Callable[[str], None]) -> "EngineProcess":
        """Spawn the engine and pass each line that it prints to `on_line`. Raises OSError."""
        # A pipe of our own: asyncio's `wait` returns only when its pipes are closed too, and a
        # grandchild that outlives a killed engine would keep them open.
        output, their_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *ending_with_parent(command.argv),
                env=dict(command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=their_end,
                stderr=their_end,
                start_new_session=True,
            )
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(their_end)
        try:
            guard = await _guard(process.pid)
        except BaseException:
            os.close(output)
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return cls(process, guard, asyncio.create_task(_pump(output, on_line)))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """The exit code, as soon as the engine has one; its last lines have been read then."""
        code = await self._process.wait()
        await asyncio.wait([self._reading], timeout=LAST_LINES_S)
        return code

    async def end(self, grace_s: float = TERMINATE_GRACE_S) -> None:
        """SIGTERM, `grace_s` seconds later SIGKILL to the whole group; returns when nothing is left."""
        if self._process.returncode is None and grace_s > 0:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await asyncio.wait([self._reading], timeout=LAST_LINES_S)
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await self._guard.communicate(b"\n")


async def _pump(output: int, on_line: Callable[[str], None]) -> None:
    stream = asyncio.StreamReader(limit=LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb", buffering=0)
    )
    try:
        while True:
            try:
                raw = await stream.readline()
            except ValueError:  # a line beyond the limit
                continue
            if not raw:
                return
            on_line(raw.decode("utf-8", "replace").rstrip())
    finally:
        transport.close()


async def _guard(pid: int) -> asyncio.subprocess.Process:
    """A shell that ends the engine when this process dies, which an engine that is still starting would not
    notice."""
    return await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", GUARD, "engine-guard", str(pid)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
