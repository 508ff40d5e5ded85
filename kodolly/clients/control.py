"""The socket of a running `kodolly up`: other commands on this machine ask it where its parts are, to start
one more worker, or to stop one. A Unix socket of mode 0600 in the state directory; one JSON line each way.

A request that fails is answered {"error": TEXT}. Unknown fields are ignored, so that commands of neighbouring
versions can talk to it.
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
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from common.errors import KodollyError, UserError
from common.private_files import make_private_directory
from kodolly.stack.parts import WorkerSpec

logger = logging.getLogger(__name__)

SOCKET = "up.sock"
ANSWER_LIMIT_S = 90.0
"""In seconds: `remove` answers only when the worker has ended."""


class Where(BaseModel):
    """Where the parts are: answered by Addresses."""

    do: Literal["where"] = "where"


class AddWorker(BaseModel):
    """Start one more worker: answered by Added."""

    do: Literal["add"] = "add"
    worker: WorkerSpec
    port: int
    env: dict[str, str] = {}
    """What the asker's environment says about GPUs."""


class CountRestarts(BaseModel):
    """How often a part was started again: answered by Restarts."""

    do: Literal["restarts"] = "restarts"
    part: str


class RemoveWorker(BaseModel):
    """Stop a worker, and answer when it is gone: by Removed."""

    do: Literal["remove"] = "remove"
    part: str


ControlRequest = Where | AddWorker | CountRestarts | RemoveWorker
_request: TypeAdapter[ControlRequest] = TypeAdapter(Annotated[ControlRequest, Field(discriminator="do")])


class Addresses(BaseModel):
    """URLs."""

    controller: str
    gateway: str


class Added(BaseModel):
    """The new worker's part, and its log."""

    part: str
    log: Path


class Restarts(BaseModel):
    """How often; None when there is no such part."""

    restarts: int | None


class Removed(BaseModel):
    """The part, which is gone now or never was there."""

    part: str


AnswerT = TypeVar("AnswerT", bound=BaseModel)
ControlHandler = Callable[[ControlRequest], Awaitable[BaseModel]]


class _Failure(BaseModel):
    error: str


@asynccontextmanager
async def open_control(state_dir: Path, handle: ControlHandler) -> AsyncIterator[None]:
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
            answer = await handle(_request.validate_json(await reader.readline()))
        except KodollyError as error:
            answer = _Failure(error=str(error))
        except ValidationError as error:
            answer = _Failure(error=f"not a request: {error}")
        with contextlib.suppress(ConnectionError):
            writer.write(answer.model_dump_json().encode() + b"\n")
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
    if ask_up(state_dir, Where(), Addresses) is not None:
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


def ask_up(state_dir: Path, request: ControlRequest, answer: type[AnswerT]) -> AnswerT | None:
    """What the `up` that runs in `state_dir` answers, as the type that belongs to the request; None when none
    runs. Raises UserError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_LIMIT_S)
        try:
            with _short(state_dir) as short:
                connection.connect(short)
        except OSError:
            return None
        try:
            connection.sendall(request.model_dump_json().encode() + b"\n")
            with connection.makefile("rb") as lines:
                said = json.loads(lines.readline())
            if isinstance(said, dict) and "error" in said:
                raise UserError(f"`kodolly up` refuses: {said['error']}")
            return answer.model_validate(said)
        except (OSError, ValueError) as error:
            raise UserError(f"`kodolly up` in {state_dir} does not answer.") from error


@contextlib.contextmanager
def _short(state_dir: Path) -> Iterator[str]:
    """A path to the socket that fits into the 107 bytes a socket's address has (unix(7))."""
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)
