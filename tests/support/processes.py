"""Real processes for tests: started, waited for by their health check, always stopped."""

import fcntl
import functools
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2

from tests.support.forked_kodolly import COMMANDS, ENGINE, PROGRAM, ForkedKodolly

PATIENCE_S = 120.0
"""How long a test waits, at least, for what must come: even a machine with busy cores is in time then."""


NO_ENGINE = ("--static", "none=http://127.0.0.1:9")
"""Flags of a gateway that needs no model: its start then waits for no controller, which takes two seconds."""

PORTS = range(10_400, 32_000)
"""Below those that Linux gives to whoever connects or asks for port 0, which may come between a port that is
chosen here and the server that is started on it; above those to which browsers refuse to go, of which 10080
is the last (Fetch standard, "bad port")."""
PORTS_EACH = 400
APART = 8
"""`kodolly up` gives its second worker the port behind the first one's, and so on."""


def free_port() -> int:
    """A TCP port that nobody listens on now, and that no other process of a test run takes meanwhile."""
    for port in _own_ports():
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("_own_ports never ends")


@functools.cache
def _own_ports() -> Iterator[int]:
    """In turn, for ever, the ports of a block that is this process's as long as it lives."""
    folder = Path(tempfile.gettempdir(), f"kodolly-test-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for first in PORTS[::PORTS_EACH]:
        # Open until the process ends, as an open file alone keeps its lock.
        lock = os.open(folder / str(first), os.O_WRONLY | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return itertools.cycle(range(first, first + PORTS_EACH, APART))
    raise AssertionError(f"every block of ports is taken: {folder}")


@contextmanager
def running(
    argv: Sequence[str],
    log: Path,
    health: str | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    limit_s: float = PATIENCE_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start `argv`, wait until `health` answers 200, stop it in the end. A death shows the log's tail."""
    with log.open("ab") as out:
        process = _started(argv, out, {**os.environ, **(env or {})}, cwd)
    try:
        if health:
            wait_for(lambda: _healthy(health), limit_s, process, log, health)
        yield process
    finally:
        stop(process)


def _started(
    argv: Sequence[str], out: BinaryIO, env: dict[str, str], cwd: Path | None
) -> "subprocess.Popen[bytes]":
    begin = len(kodolly())
    program, args = list(argv[:begin]), argv[begin:]
    if "PYTEST_VERSION" in os.environ:  # benchmarks measure what users start
        if program == kodolly() and args[0] in COMMANDS:
            return ForkedKodolly(args, out.fileno(), out.fileno(), env, cwd, PROGRAM)
        if program == [sys.executable, "-m", ENGINE]:
            return ForkedKodolly(args, out.fileno(), out.fileno(), env, cwd, ENGINE)
    return subprocess.Popen(
        argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=cwd, env=env
    )


def stop(process: "subprocess.Popen[bytes]", grace_s: float = 60.0) -> int:
    """SIGTERM, then SIGKILL; returns the exit code."""
    process.terminate()
    try:
        return process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def wait_for(
    condition: Callable[[], bool],
    limit_s: float,
    process: "subprocess.Popen[bytes] | None" = None,
    log: Path | None = None,
    what: str = "",
) -> None:
    """Poll `condition` until it is true; AssertionError with the log's tail when it never is: not before
    `PATIENCE_S`, so that only a machine that stands still can make a wait too short."""
    limit_s = max(limit_s, PATIENCE_S)
    end = time.monotonic() + limit_s
    while not condition():
        tail = log.read_text(encoding="utf-8", errors="replace")[-3000:] if log and log.exists() else ""
        assert process is None or process.poll() is None, f"exit code {process.returncode}\n{tail}"
        assert time.monotonic() < end, f"waited {limit_s:.0f} s for {what or condition}\n{tail}"
        time.sleep(0.05)


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2.0, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def kodolly(*args: str) -> list[str]:
    """The command line of a kodolly subcommand."""
    return [sys.executable, "-m", "kodolly", *args]


@contextmanager
def scripted_engine(tmp_path: Path, model: str, key: str = "") -> Iterator[str]:
    """A scripted engine in a process of its own; yields its URL."""
    port = free_port()
    argv = [
        sys.executable,
        "-m",
        ENGINE,
        "--port",
        str(port),
        "--model",
        model,
        "--key",
        key,
    ]
    url = f"http://127.0.0.1:{port}"
    with running(argv, tmp_path / f"engine-{port}.log", f"{url}/health"):
        yield url


def script(engine: str, mode: str = "ok", gap_s: float = 0.0, manner: str = "vllm") -> None:
    """Tell a scripted engine how to behave, and how to write what it says (scripted_manners.py)."""
    asked = {"mode": mode, "gap_s": gap_s, "manner": manner}
    httpx2.post(f"{engine}/_script", json=asked, trust_env=False).raise_for_status()
