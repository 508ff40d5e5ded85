"""Processes behind one port: one that hangs is replaced, one that dies at once is started ever less often."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kodolly.stack.heartbeat import BEAT_S, Pulse
from kodolly.stack.prefork import Prefork, ProcessSlot, listen

SERVING = """
import asyncio, os, signal, time
from kodolly.stack.heartbeat import start_beating
async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: time.sleep(3600))
    start_beating()
    await stop.wait()
asyncio.run(main())
"""
SAYS_READY_AND_DIES = "import os; os.write(int(os.environ['KODOLLY_READY_FD']), b'.'); raise SystemExit(1)"
NEVER_READY = "raise SystemExit(3)"
REPOSITORY = Path(__file__).parents[1]


@asynccontextmanager
async def prefork(code: str, hung_after_s: float = 3.0) -> AsyncIterator[Prefork]:
    argv = [sys.executable, "-c", code]
    env = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY)}
    (socket,) = listen("127.0.0.1", 0, 1)
    several = Prefork(argv, env, [ProcessSlot(0, socket)], 10.0, hung_after_s)
    running = asyncio.create_task(several.run())
    try:
        yield several
    finally:
        several._stopping.set()
        await running
        socket.close()


async def served_by(several: Prefork, other_than: int = 0) -> int:
    """The id of the process that serves, once it is another one."""
    async with asyncio.timeout(90):
        while True:
            serving = several.slots[0].serving
            if serving is not None and serving.process.pid != other_than:
                return serving.process.pid
            await asyncio.sleep(0.02)


async def replaced(how: signal.Signals) -> None:
    """A process that `how` makes hang is; ends when its successor serves."""
    async with prefork(SERVING) as several:
        first = await served_by(several)
        os.kill(first, how)
        assert await served_by(several, other_than=first) != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)


async def test_a_process_that_hangs_is_noticed_logged_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """Stopped, or with a loop that is blocked."""
    await asyncio.gather(replaced(signal.SIGSTOP), replaced(signal.SIGUSR1))
    said = "gateway process 0 ended (killed: it hung, without a sign of life for 3 s)"
    assert caplog.text.count(said) == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [(SAYS_READY_AND_DIES, "exit code 1"), (NEVER_READY, "exit code 3, before it served")],
)
async def test_one_that_dies_at_once_is_started_less_and_less_often(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr("common.child_process.PAUSES_S", (0.01, 0.02, 0.04))

    def pauses() -> list[float]:
        said = [record.args for record in caplog.records if record.name == "kodolly.stack.prefork"]
        assert all(isinstance(args, tuple) and args[2] == words for args in said)
        return [args[3] for args in said if isinstance(args, tuple)]  # type: ignore[misc]

    with caplog.at_level(logging.ERROR, "kodolly.stack.prefork"):
        async with prefork(code):
            async with asyncio.timeout(90):
                while len(pauses()) < 4:
                    await asyncio.sleep(0.02)
    assert pauses()[:4] == [0.01, 0.02, 0.04, 0.04]


class Silence:
    """A pulse whose child says nothing, and a clock that jumps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps_s: list[float]) -> None:
        self.slept, self.now, self.steps = 0, 0.0, steps_s
        self.loop = asyncio.get_running_loop()
        monkeypatch.setattr(self.loop, "time", lambda: self.now)
        monkeypatch.setattr("kodolly.stack.heartbeat.asyncio.sleep", self.sleep)

    async def sleep(self, _seconds: float) -> None:
        if not self.steps:
            raise asyncio.CancelledError
        self.now += self.steps.pop(0)
        self.slept += 1


async def test_time_in_which_the_parent_did_not_run_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse()
    with monkeypatch.context() as patch:
        silence = Silence(patch, [3600.0] + [BEAT_S] * 100)  # the machine was suspended for an hour
        await pulse.stops(0, 30.0)
        assert silence.slept == 29


async def test_a_process_in_a_debugger_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pulse = Pulse()
    with monkeypatch.context() as patch:
        patch.setattr("kodolly.stack.heartbeat.Path", lambda _path: tmp_path / "status")
        (tmp_path / "status").write_text("Name:\tpython\nTracerPid:\t42\n")
        Silence(patch, [BEAT_S] * 100)
        with pytest.raises(asyncio.CancelledError):  # all hundred seconds went by
            await pulse.stops(0, 30.0)
        (tmp_path / "status").write_text("Name:\tpython\nTracerPid:\t0\n")
        silence = Silence(patch, [BEAT_S] * 100)
        await pulse.stops(0, 30.0)
        assert silence.slept == 30
