"""Several gateway processes behind one port, each with a listening socket of its own (SO_REUSEPORT).

The sockets belong to the parent and outlive the children: connections that come while a process is exchanged
wait in its socket's queue, so that a restart loses none. SIGHUP exchanges the processes one by one.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kodolly.supervise import BACKOFF_S, die_with_parent

logger = logging.getLogger(__name__)

BACKLOG = 4096
START_LIMIT_S = 60.0
STOP_MARGIN_S = 10.0
"""Beyond the time that answers have to end, before a process is killed."""
SOCKET_FD = "KODOLLY_SOCKET_FD"
READY_FD = "KODOLLY_READY_FD"
PROCESS = "KODOLLY_GATEWAY_PROCESS"
"""Environment variables that a child finds its place by."""


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one address; the kernel spreads connections over them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = []
    for _ in range(count):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((host, port))
        one.listen(BACKLOG)
        made.append(one)
    return made


@dataclass(slots=True)
class Slot:
    """One process's place."""

    number: int
    socket: socket.socket
    process: asyncio.subprocess.Process | None = None


@dataclass(slots=True)
class Prefork:
    """Keeps one process running in every slot."""

    argv: Sequence[str]
    env: Mapping[str, str]
    slots: list[Slot]
    stop_grace_s: float
    """Between SIGTERM and SIGKILL for one process."""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _exchange: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT, when all processes have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._exchange.set)
        tasks = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        tasks.append(asyncio.create_task(self._exchange_on_demand()))
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
            await asyncio.gather(*(end(slot.process, self.stop_grace_s) for slot in self.slots))

    async def _keep(self, slot: Slot) -> None:
        failures = 0
        while True:
            if slot.process is None:
                slot.process, ready = await self._start(slot)
                failures = 0 if ready else failures + 1
            process = slot.process
            code = await process.wait()
            if slot.process is not process:
                continue  # it was exchanged
            slot.process = None
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            logger.error(
                "gateway process %d ended (exit code %d); starting it again in %.0f s",
                slot.number,
                code,
                pause,
            )
            await asyncio.sleep(pause)

    async def _exchange_on_demand(self) -> None:
        while True:
            await self._exchange.wait()
            self._exchange.clear()
            for slot in self.slots:
                successor, ready = await self._start(slot)
                if not ready:
                    logger.error("the new gateway process %d does not start; the old ones stay", slot.number)
                    await end(successor, self.stop_grace_s)
                    break
                predecessor, slot.process = slot.process, successor
                await end(predecessor, self.stop_grace_s)
            else:
                logger.info("all %d gateway processes have been exchanged", len(self.slots))

    async def _start(self, slot: Slot) -> tuple[asyncio.subprocess.Process, bool]:
        """A new process in this slot, and whether it serves."""
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                env={
                    **self.env,
                    SOCKET_FD: str(slot.socket.fileno()),
                    READY_FD: str(write),
                    PROCESS: str(slot.number),
                },
                pass_fds=(slot.socket.fileno(), write),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        finally:
            os.close(write)
        return process, await _ready(read)


async def _ready(read: int) -> bool:
    """Whether a byte came before the other end was closed."""
    reader = asyncio.StreamReader()
    pipe = os.fdopen(read, "rb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        async with asyncio.timeout(START_LIMIT_S):
            return bool(await reader.read(1))
    except TimeoutError:
        return False
    finally:
        transport.close()


async def end(process: asyncio.subprocess.Process | None, grace_s: float) -> None:
    """SIGTERM, then SIGKILL after the grace."""
    if process is None or process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def inherited_socket() -> socket.socket | None:
    """The listening socket that a parent has handed to this process."""
    number = os.environ.get(SOCKET_FD)
    return socket.socket(fileno=int(number)) if number else None


def say_ready() -> None:
    """Tell the parent, if there is one, that this process serves."""
    number = os.environ.pop(READY_FD, None)
    if number is not None:
        os.write(int(number), b"1")
        os.close(int(number))
