"""A scrape that shows all processes of one gateway, whichever of them it reaches.

Every process listens on a Unix socket of its own in the state directory, for its siblings alone. The one that
is scraped asks the others and puts the answers together; one that does not answer in time is named by
`kodolly_gateway_process_up`. On the socket: one line with the Accept header in; out come a line with the
length and the exposition.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from server.telemetry.exposition import encode_process_up, merge
from server.telemetry.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

TIMEOUT_S = 1.0
"""How long a scrape waits for the other processes."""
PATH_BYTES = 107
"""Longest path of a Unix socket on Linux (unix(7)), less its end."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Where the metrics of each process of one gateway are."""

    state_dir: Path
    port: int
    """The port they all listen on: two gateways may share a state directory."""
    count: int = 1

    def socket_path(self, process: int) -> str:
        """Raises UserError when the state directory's path is too long for a Unix socket."""
        path = str(self.state_dir / f"gateway-{self.port}-{process}.metrics")
        path = min(os.path.abspath(path), os.path.relpath(path), key=len)
        if len(os.fsencode(path)) > PATH_BYTES:
            raise UserError(
                f"The path {path} is too long for a Unix socket.",
                hint="Choose a shorter KODOLLY_STATE_DIR, or one process.",
            )
        return path


async def scrape(metrics: GatewayMetrics, processes: Processes, accept: str = "") -> tuple[bytes, str]:
    """The numbers of all processes and their content type, after at most a second."""
    others = [number for number in range(processes.count) if number != metrics.process]
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(_ask(processes.socket_path(number), accept)) for number in others]
        own, content_type = await metrics.render(accept)
    answers = [task.result() for task in asking]
    up = {metrics.process: True}
    up.update({number: bool(answer) for number, answer in zip(others, answers, strict=True)})
    return merge([encode_process_up(up, accept), own, *answers]), content_type


async def _ask(path: str, accept: str) -> bytes:
    """Another process's exposition; b"" when it does not answer in time, or not to the end."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(accept.replace("\n", " ").encode("utf-8", "replace") + b"\n")
                return await reader.readexactly(int(await reader.readline()))
            finally:
                writer.close()
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        logger.debug("the metrics of %s are missing: %s", path, type(error).__name__)
        return b""


@contextlib.asynccontextmanager
async def answer_siblings(metrics: GatewayMetrics, processes: Processes) -> AsyncIterator[None]:
    """Answer the other processes while the block runs; with one process, nothing is opened.

    Raises UserError when the socket cannot be made.
    """
    if processes.count == 1:
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(TIMEOUT_S):
                accept = (await reader.readline()).decode("utf-8", "replace").strip()
                body, _ = await metrics.render(accept)
                writer.write(b"%d\n%b" % (len(body), body))
                await writer.drain()
        writer.close()

    path = processes.socket_path(metrics.process)
    listener = _listen(path)
    made = os.stat(path).st_ino
    server = await asyncio.start_unix_server(answer, sock=listener)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == made:  # else a successor has taken our place already
                os.unlink(path)


def _listen(path: str) -> socket.socket:
    """A socket that only this user can reach, also in the moment it is made."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)  # left behind by a process that was killed
        listener.bind(path)
        os.chmod(path, 0o600)  # nobody can connect before it listens
    except OSError as error:
        listener.close()
        raise UserError(f"The socket {path} cannot be made: {error.strerror}.") from error
    return listener
