"""kodolly's servers and the scripted engines before which they stand, each a process of its own, forked from
one that has imported what they need: that is four fifths of a gateway's start.

What a fresh interpreter does with its arguments and environment is the same afterwards: the command line is
read, settings are looked for and the app is made in the fork. Nothing of kodolly happens at import.
"""

import functools
import gc
import importlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMANDS = ("gateway", "controller")
"""Servers that are always forked."""
PROGRAM, ENGINE = "kodolly.cli", "tests.support.scripted_engine"
"""What a fork runs: the `main` of one of these modules."""
MODULES = (
    PROGRAM,
    ENGINE,
    "alembic.autogenerate",
    "alembic.command",
    "anyio._backends._asyncio",
    "brotli",
    "common.engine_questions",
    "common.http_protocol",
    "common.serve",
    "controller.app",
    "documents.service.settings",
    "httpcore2",
    "httptools",
    "httpx2",
    "kodolly.commands.controller",
    "kodolly.commands.gateway",
    "kodolly.environment_names",
    "kodolly.stack.heartbeat",
    "kodolly.stack.prefork",
    "server.app",
    "server.client.protocol",
    "server.store.opening",
    "sqlite3",
    "truststore",
    "uvicorn.lifespan.on",
    "uvicorn.main",
    "uvloop",
    "webui.settings",
    "worker.settings",
)
"""What these import."""
PERIODS = {
    "server.accounts.accounts.REFRESH_S": 0.1,
    "server.inference.conversation_log.WRITE_EVERY_S": 0.1,
}
"""What many tests wait for: gateways write ledger and conversations more often here than each second."""
MOST_BYTES = 200_000
"""Of a command line and its environment in one message."""


class ForkedKodolly(subprocess.Popen[bytes]):
    """`kodolly ARGS ...` in a fork, or an engine, with all that a test does with a process it has started."""

    def __init__(
        self,
        args: Sequence[str],
        out: int,
        error: int,
        env: Mapping[str, str],
        cwd: Path | None,
        module: str = PROGRAM,
    ) -> None:
        """`out` and `error` are the open files to which it writes; `env` is its whole environment."""
        self.args = list(args)
        self.stdin = self.stdout = self.stderr = None
        self.returncode = None
        read, write = os.pipe()
        self._told = os.fdopen(read, "rb", buffering=0)
        where = {"env": dict(env), "cwd": str(cwd or Path.cwd())}
        asked = json.dumps({"module": module, "args": self.args, **where}).encode()
        assert len(asked) < MOST_BYTES
        socket.send_fds(_zygote(), [asked], [out, error, write])
        os.close(write)
        self.pid = int(self._told.read(10) or 0)
        assert self.pid, "the process that kodolly is forked from has ended"

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        if (code := self._ended(timeout)) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _ended(self, within_s: float | None) -> int | None:
        """The exit code, as Popen has it; None after so many seconds without an end."""
        if self.returncode is None and select.select([self._told], [], [], within_s)[0]:
            self.returncode = int(self._told.read(10))
            self._told.close()
        return self.returncode


def run_kodolly(
    *args: str, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`kodolly ARGS ...` to its end, in a fork; `env` is its whole environment."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        code = ForkedKodolly(args, out.fileno(), error.fileno(), env, cwd).wait()
        told = []
        for file in (out, error):
            file.seek(0)
            told.append(file.read().decode("utf-8"))
    return subprocess.CompletedProcess(args, code, *told)


@functools.cache
def _zygote() -> socket.socket:
    """The way to the process that forks; it ends with this one."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        argv = [sys.executable, "-m", __name__, str(its.fileno())]
        root = Path(__file__).parents[2]
        _ZYGOTES.append(subprocess.Popen(argv, cwd=root, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()]))
    return ours


_ZYGOTES: list[subprocess.Popen[bytes]] = []
"""Kept, as Popen warns of one that is forgotten while it runs."""


def fork_for_ever(tests: socket.socket) -> str:
    """Fork for each message, and tell how each fork ended. Returns in the forks alone: the module to run."""
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([tests.fileno(), *running], [], [])[0]:
            if ready != tests.fileno():
                pid, told = running.pop(ready)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.write(told, f"{code:10d}".encode())
                os.close(told)
                os.close(ready)
                continue
            asked, fds, _, _ = socket.recv_fds(tests, MOST_BYTES, 3)
            if not asked:
                sys.exit()
            out, error, told = fds
            if (pid := os.fork()) == 0:
                return become(json.loads(asked), out, error)
            os.write(told, f"{pid:10d}".encode())
            os.close(out)
            os.close(error)
            running[os.pidfd_open(pid)] = pid, told


def become(asked: Mapping[str, Any], out: int, error: int) -> str:
    """In the fork: stand as a process does that was started with this command line. Returns the module."""
    os.dup2(out, 1)
    os.dup2(error, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = ["kodolly", *asked["args"]]
    return str(asked["module"])


def _prepare_stores() -> None:
    from common.database_opening import Schema
    from server.store.opening import SCHEMA
    from tests.support.new_stores import once, prepare

    Schema.migrate = once(Schema.migrate)  # type: ignore[assignment, method-assign]
    prepare(SCHEMA)


def main() -> None:
    """Fork; the argument is the number of the socket to the tests."""
    tests = socket.socket(fileno=int(sys.argv[1]))
    for module in MODULES:
        importlib.import_module(module)
    for period, seconds in PERIODS.items():
        module, _, name = period.rpartition(".")
        setattr(importlib.import_module(module), name, seconds)
    _prepare_stores()
    gc.freeze()
    sys.modules[fork_for_ever(tests)].main()


if __name__ == "__main__":
    main()
