"""Several processes of one part behind one port, each with a listening socket of its own (SO_REUSEPORT).

The sockets belong to the parent and outlive the children: connections that come while a process is exchanged
wait in its socket's queue, so that a restart loses none. SIGHUP exchanges the processes one by one.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from common.child_process import Backoff, ending_with_parent, how_it_ended
from common.serve import bound_socket, check_port
from kodolly.stack.heartbeat import HUNG_AFTER_S, READY_FD, Pulse

logger = logging.getLogger(__name__)

BACKLOG = 4096
START_LIMIT_S = 60.0
"""Longest time from its start until a process serves."""
LAST_WORDS_S = 1.0
"""Between a process's last sign and its end."""
STOP_MARGIN_S = 10.0
"""Beyond the time that answers have to end, before a process is killed."""
SOCKET_FD = "KODOLLY_SOCKET_FD"
PROCESS = "KODOLLY_PROCESS"
"""Environment variables that a child finds its place by."""


@dataclass(frozen=True, slots=True)
class SharedPort:
    """Where `processes` processes of a `part` listen together."""

    part: str
    host: str
    port: int
    setting: str
    """What to change when the port is taken."""
    processes: int


def run_several(shared: SharedPort, grace_s: float) -> None:
    """Be the parent of processes that have this command line, and `grace_s` seconds to end. Raises UserError
    when the port is taken."""
    check_port(shared.host, shared.port, shared.setting)
    sockets = listen(shared.host, shared.port, shared.processes)
    slots = [ProcessSlot(number, one) for number, one in enumerate(sockets)]
    argv = [sys.executable, "-m", "kodolly", *sys.argv[1:]]

    async def run() -> None:
        await Prefork(argv, dict(os.environ), slots, grace_s + STOP_MARGIN_S, part=shared.part).run()

    asyncio.run(run())


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one address; the kernel spreads connections over them."""
    made = []
    for _ in range(count):
        one = bound_socket(host, port, shared=True)
        one.listen(BACKLOG)
        made.append(one)
    return made


@dataclass(frozen=True, slots=True)
class Serving:
    """One process, from its start to its end."""

    process: asyncio.subprocess.Process
    pulse: Pulse
    ready_at: float | None
    """Monotonic seconds; None when it never said that it serves."""

    def worked_s(self) -> float:
        """How long it has served."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at


@dataclass(slots=True)
class ProcessSlot:
    """One process's place."""

    number: int
    socket: socket.socket
    serving: Serving | None = None


@dataclass(slots=True)
class Prefork:
    """Keeps one process running in every slot."""

    argv: Sequence[str]
    env: Mapping[str, str]
    slots: list[ProcessSlot]
    stop_grace_s: float
    """Between SIGTERM and SIGKILL for one process."""
    hung_after_s: float = HUNG_AFTER_S
    """Silence after which a process is killed and replaced."""
    part: str = "gateway"
    """What they are, for the log."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _replace_all: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT, when all processes have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._replace_all.set)
        tasks = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        tasks.append(asyncio.create_task(self._replace_all_on_demand()))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            self._stopping.set()
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            left = [slot.serving for slot in self.slots if slot.serving is not None]
            await asyncio.gather(*(end(one, self.stop_grace_s) for one in left))

    async def _keep(self, slot: ProcessSlot) -> None:
        backoff = Backoff()
        while True:
            if slot.serving is None:
                slot.serving = await self._start(slot)
            serving = slot.serving
            how = await self._how_it_ends(serving)
            if slot.serving is not serving:
                continue  # it was exchanged
            slot.serving = None
            pause = backoff.pause_s(serving.worked_s())
            logger.error(
                "%s process %d ended (%s); starting it again in %.0f s",
                self.part,
                slot.number,
                how,
                pause,
            )
            await asyncio.sleep(pause)

    async def _how_it_ends(self, serving: Serving) -> str:
        """Waits for the end of the process, which is killed when it never serves or serves no more."""
        if serving.ready_at is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    return f"{how_it_ended(await serving.process.wait())}, before it served"
            await end(serving, 0.0)
            return f"killed: it did not serve within {START_LIMIT_S:.0f} s"
        exiting = asyncio.create_task(serving.process.wait())
        hanging = asyncio.create_task(serving.pulse.stops(serving.process.pid, self.hung_after_s))
        try:
            await asyncio.wait([exiting, hanging], return_when=asyncio.FIRST_COMPLETED)
            if exiting.done():
                return how_it_ended(exiting.result())
            await end(serving, 0.0)
            return f"killed: it hung, without a sign of life for {self.hung_after_s:.0f} s"
        finally:
            for task in (exiting, hanging):
                task.cancel()
            await asyncio.gather(exiting, hanging, return_exceptions=True)

    async def _replace_all_on_demand(self) -> None:
        while True:
            await self._replace_all.wait()
            self._replace_all.clear()
            for slot in self.slots:
                successor = await self._start(slot)
                if successor.ready_at is None:
                    logger.error(
                        "the new %s process %d does not start; the old ones stay", self.part, slot.number
                    )
                    await end(successor, self.stop_grace_s)
                    break
                predecessor, slot.serving = slot.serving, successor
                if predecessor is not None:
                    await end(predecessor, self.stop_grace_s)
            else:
                logger.info("all %d %s processes have been exchanged", len(self.slots), self.part)

    async def _start(self, slot: ProcessSlot) -> Serving:
        """A new process in this slot: it serves, has ended, or takes too long."""
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *ending_with_parent(self.argv),
                env={
                    **self.env,
                    SOCKET_FD: str(slot.socket.fileno()),
                    READY_FD: str(write),
                    PROCESS: str(slot.number),
                },
                pass_fds=(slot.socket.fileno(), write),
                start_new_session=True,
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        pulse = await Pulse.of(read)
        try:
            ready = await pulse.ready(START_LIMIT_S)
        except BaseException:  # cancelled: nobody else knows of this process
            await end(Serving(process, pulse, None), 0.0)
            raise
        return Serving(process, pulse, time.monotonic() if ready else None)


async def end(serving: Serving, grace_s: float) -> None:
    """SIGTERM, then SIGKILL after the grace."""
    process = serving.process
    try:
        if process.returncode is None and grace_s > 0:
            process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await process.wait()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    finally:
        serving.pulse.close()


def inherited_socket() -> socket.socket | None:
    """The listening socket that a parent has handed to this process."""
    number = os.environ.get(SOCKET_FD)
    return socket.socket(fileno=int(number)) if number else None
