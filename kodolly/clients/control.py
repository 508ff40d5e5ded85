"""The socket of a running `kodolly up`: other commands on this machine ask it where its parts are, to start
one more worker, or to stop one. A Unix socket of mode 0600 in the state directory; one JSON line each way.

    {"do": "where"}               -> {"controller": URL, "gateway": URL}
    {"do": "add", "worker": {...}, "port": N, "env": {...}} -> {"part": NAME, "log": PATH}
    {"do": "restarts", "part": NAME} -> {"restarts": N}, null when there is no such part
    {"do": "remove", "part": NAME} -> {"part": NAME}

A request that fails is answered {"error": TEXT}.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from common.errors import KodollyError, UserError
from common.private_files import make_private_directory

logger = logging.getLogger(__name__)

SOCKET = "up.sock"
ANSWER_LIMIT_S = 90.0
"""`remove` waits for a worker's end."""

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def open_control(state_dir: Path, handle: Handler) -> AsyncIterator[None]:
    """Answer requests while the block runs. Raises UserError when another `up` holds this directory."""
    try:
        listening = _listen(state_dir)
    except OSError as error:
        # Some network file systems have no sockets; the stack itself needs none.
        logger.warning("no control socket in %s (%s): `kodolly deploy` will not find us", state_dir, error)
        yield
        return

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await handle(json.loads(await reader.readline()))
        except KodollyError as error:
            answer = {"error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"not a request: {error!r}"}
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve_one, sock=listening)
    try:
        yield
    finally:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(state_dir / SOCKET)


def _listen(state_dir: Path) -> socket.socket:
    if ask_up(state_dir, {"do": "where"}) is not None:
        raise UserError(
            f"Another `kodolly up` runs in the state directory {state_dir}.",
            hint="Stop it, or choose another directory with KODOLLY_STATE_DIR.",
        )
    make_private_directory(state_dir)
    (state_dir / SOCKET).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _short(state_dir) as short:
            listening.bind(short)
    finally:
        os.umask(before)
    return listening


def ask_up(state_dir: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """The answer of the `up` that runs in `state_dir`; None when there is none. Raises UserError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_LIMIT_S)
        try:
            with _short(state_dir) as short:
                connection.connect(short)
        except OSError:
            return None
        try:
            connection.sendall(json.dumps(request, ensure_ascii=False).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline())
        except (OSError, ValueError) as error:
            raise UserError(f"`kodolly up` in {state_dir} does not answer.") from error
    if not isinstance(answer, dict) or "error" in answer:
        raise UserError(f"`kodolly up` refuses: {answer['error']}")
    return answer


@contextlib.contextmanager
def _short(state_dir: Path) -> Iterator[str]:
    """A path to the socket that fits into the 107 bytes a socket's address has (unix(7))."""
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
