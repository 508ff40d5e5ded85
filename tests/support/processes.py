"""Real processes for tests: started, waited for by their health check, always stopped."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

PATIENCE_S = 120.0
"""How long a test waits, at least, for what must come: even a machine with busy cores is in time then."""


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        process = subprocess.Popen(
            argv,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
    try:
        if health:
            wait_for(lambda: _healthy(health), limit_s, process, log, health)
        yield process
    finally:
        stop(process)


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
        "tests.support.scripted_engine",
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
