"""The supervisor around an engine that is a real process but does no model work."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateway_stack import TOKEN
from tests.processes import free_port, kodolly, running, script, wait_for

AUTH = {"authorization": f"Bearer {TOKEN}"}

SUPERVISE = """
import asyncio, sys
from common.logs import configure_logging
from common.registry import ModelCard
from worker.engine import EngineCommand
from worker.settings import WorkerSettings
from worker.supervisor import Supervisor
import os
port, *controllers = sys.argv[1:]
configure_logging()
settings = WorkerSettings(port=int(port), controllers=tuple(controllers), join_token="test-join-token")
argv = [sys.executable, "-m", "tests.scripted_engine", "--port", port, "--model", "dolly", "--key", "k"]
command = EngineCommand(argv, dict(os.environ), f"http://127.0.0.1:{port}", "k")
asyncio.run(Supervisor(settings, command, ModelCard(name="dolly")).run())
"""


@pytest.fixture
def controllers(tmp_path: Path) -> Iterator[list[str]]:
    ports = [free_port(), free_port()]
    env = {"KODOLLY_JOIN_TOKEN": TOKEN}
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    one, two = (kodolly("controller", "--port", str(port)) for port in ports)
    with (
        running(one, tmp_path / "c1", f"{urls[0]}/healthz", env, tmp_path),
        running(two, tmp_path / "c2", f"{urls[1]}/healthz", env, tmp_path),
    ):
        yield urls


@pytest.fixture
def worker(tmp_path: Path, controllers: list[str]) -> "Iterator[tuple[subprocess.Popen[bytes], int, Path]]":
    port, log = free_port(), tmp_path / "worker.log"
    argv = [sys.executable, "-c", SUPERVISE, str(port), *controllers]
    with running(argv, log) as process:
        wait_for(lambda: state(controllers[0]) == "ready", 20, process, log, "ready")
        yield process, port, log


def listed(controller: str) -> list[dict[str, Any]]:
    answer = httpx2.get(f"{controller}/v1/workers", headers=AUTH, trust_env=False).raise_for_status()
    workers: list[dict[str, Any]] = answer.json()["workers"]
    return workers


def state(controller: str) -> str | None:
    return next((str(worker["state"]) for worker in listed(controller)), None)


def engine_pid(port: int) -> int | None:
    found = subprocess.run(["pgrep", "-f", f"scripted_engine --port {port} "], capture_output=True, text=True)
    return int(found.stdout.split()[0]) if found.stdout else None


Worker = "tuple[subprocess.Popen[bytes], int, Path]"


def test_it_registers_with_every_controller(worker: Worker, controllers: list[str]) -> None:
    wait_for(lambda: [state(url) for url in controllers] == ["ready", "ready"], 10)


def test_a_killed_engine_is_reported_at_once_and_started_again(
    worker: Worker, controllers: list[str]
) -> None:
    _, port, log = worker
    first = engine_pid(port)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: state(controllers[0]) == "down", 2, what="down")
    assert "killed by SIGKILL" in listed(controllers[0])[0]["detail"]
    wait_for(lambda: state(controllers[0]) == "ready", 20, what="ready again")
    assert engine_pid(port) not in (None, first)
    assert "starting it again in 1 s" in log.read_text(encoding="utf-8")


async def test_a_stop_waits_for_the_running_stream(worker: Worker, controllers: list[str]) -> None:
    process, port, _ = worker
    script(f"http://127.0.0.1:{port}", "stall_at_token:1")
    body = {"model": "dolly", "messages": [], "max_tokens": 3, "stream": True}
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=20, headers={"authorization": "Bearer k"}) as client,
        client.stream("POST", f"http://127.0.0.1:{port}/v1/chat/completions", json=body) as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        process.terminate()
        await asyncio.to_thread(wait_for, lambda: state(controllers[0]) == "draining", 5)
        await client.post(f"http://127.0.0.1:{port}/_script/release")
        rest = [line async for line in lines]
    assert "data: [DONE]" in rest
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert listed(controllers[0]) == []
    assert engine_pid(port) is None


def test_a_killed_supervisor_leaves_no_engine(worker: Worker) -> None:
    process, port, _ = worker
    process.kill()
    process.wait()
    wait_for(lambda: engine_pid(port) is None, 5, what="the engine to be gone")


def test_it_learns_of_a_restarted_controller_by_itself(
    worker: Worker, controllers: list[str], tmp_path: Path
) -> None:
    port = controllers[1].rpartition(":")[2]
    wait_for(lambda: state(controllers[1]) == "ready", 10)
    found = subprocess.run(
        ["pgrep", "-f", f"kodolly controller --port {port}"], capture_output=True, text=True
    )
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    env = {"KODOLLY_JOIN_TOKEN": TOKEN}
    argv = kodolly("controller", "--port", port)
    with running(argv, tmp_path / "again", f"{controllers[1]}/healthz", env, tmp_path):
        wait_for(lambda: state(controllers[1]) == "ready", 10, what="the worker to be back")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: None, "does not exist"),
        (lambda d: d.mkdir(), "is not a checkpoint: it has no config.json"),
        (lambda d: (d.mkdir(), (d / "adapter_config.json").write_text("{}")), "must be merged first"),
        (lambda d: (d.mkdir(), (d / "config.json").write_text("{")), "cannot be read"),
        (lambda d: (d.mkdir(), (d / "config.json").write_text("{}")), "no *.safetensors"),
    ],
)
def test_a_directory_that_cannot_be_served_is_one_clear_line(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "model")
    env = os.environ | {"KODOLLY_JOIN_TOKEN": "t"}
    done = subprocess.run(
        kodolly("worker", str(tmp_path / "model")), capture_output=True, text=True, cwd=tmp_path, env=env
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
