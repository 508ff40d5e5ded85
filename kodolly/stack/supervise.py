"""Running the parts of a stack as child processes: prefixed logs, restarts with back-off, ordered stop."""

import asyncio
import logging
import logging.handlers
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from common.child_process import Backoff, ending_with_parent, how_it_ended
from common.private_files import close_to_others, make_private_directory, make_private_file

LOG_BYTES = 10 * 1024 * 1024

SayOfPart = Callable[[str, str], None]
"""(part name, line) -> shown to the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Part:
    """One child process of the stack."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stop_grace_s: float = 15.0
    """Seconds between SIGTERM and SIGKILL."""
    may_end: bool = False
    """Exit code 0 means that it was asked to stop (`kodolly drain`): it is not started again."""


@dataclass(slots=True)
class SupervisedPart:
    """A part, kept running until `stop`."""

    part: Part
    say: SayOfPart
    log_dir: Path
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Start the part again whenever it ends, until `stop` was called or it ended as it was asked to."""
        log = _log_file(self.log_dir / f"{self.part.name}.log")
        backoff = Backoff()
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                code = await self._run_once(log)
                if self._stopping.is_set():
                    return
                if code == 0 and self.part.may_end:
                    self.say("up", f"{self.part.name} has stopped, as it was asked to; it stays stopped")
                    return
                pause = backoff.pause_s(time.monotonic() - began)
                self.restarts += 1
                how = how_it_ended(code)
                self.say("up", f"{self.part.name} ended ({how}); starting it again in {pause:.0f} s")
                await self._pause(pause)
        finally:
            log.close()

    async def _run_once(self, log: logging.Handler) -> int:
        self.process = await asyncio.create_subprocess_exec(
            *ending_with_parent(self.part.argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self.part.env),
            # Its own session: Ctrl-C reaches only us, and we stop the parts in order.
            start_new_session=True,
            limit=1024 * 1024,
        )
        assert self.process.stdout is not None
        try:
            if self._stopping.is_set():  # `stop` came while it was being started
                await self._terminate()
            while line := await _read_line(self.process.stdout):
                text = line.decode("utf-8", "replace").rstrip()
                log.emit(logging.LogRecord(self.part.name, logging.INFO, "", 0, text, None, None))
                self.say(self.part.name, text)
            return await self.process.wait()
        finally:
            if self.process.returncode is None:
                await self._terminate()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to the whole group after the grace; returns when it is gone."""
        self._stopping.set()
        await self._terminate()

    async def _terminate(self) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(self.part.stop_grace_s):
                await process.wait()
        except TimeoutError:
            self.say(
                "up", f"{self.part.name} does not stop within {self.part.stop_grace_s:.0f} s; killing it"
            )
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # a line beyond the limit: drop it rather than the part
        return b"(a line of more than 1 MiB was left out)\n"


class _PrivateLog(logging.handlers.RotatingFileHandler):
    """Every file, also each that a rotation begins, is its owner's alone."""

    def _open(self) -> TextIOWrapper:
        make_private_file(Path(self.baseFilename))
        return super()._open()


def _log_file(path: Path) -> logging.Handler:
    make_private_directory(path.parent)
    for before in path.parent.glob(f"{path.name}*"):
        close_to_others(before)
    handler = _PrivateLog(path, maxBytes=LOG_BYTES, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler
