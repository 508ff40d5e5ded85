"""The supervisor around an engine that is a real process but does no model work."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway_stack import TOKEN
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, script, wait_for
from tests.support.worker_stage import AUTH, MESSAGES, listed, scripted, stalled_answer, state

pytestmark = pytest.mark.slow


SUPERVISE = """
import asyncio, json, os, sys
from common.logs import configure_logging
from common.registry import ModelCard
from worker.engine import EngineCommand
from worker.settings import WorkerSettings
from worker.supervisor import Supervisor
port, argv, *controllers = sys.argv[1:]
configure_logging()
settings = WorkerSettings(port=int(port), controllers=tuple(controllers), join_token="test-join-token")
command = EngineCommand(json.loads(argv), dict(os.environ), f"http://127.0.0.1:{port}", "k")
asyncio.run(Supervisor(settings, command, [ModelCard(name="dolly")]).run())
"""


def supervise(port: int, engine: list[str], *controllers: str) -> list[str]:
    """The command line of a supervisor around `engine` instead of vLLM."""
    return [sys.executable, "-c", SUPERVISE, str(port), json.dumps(engine), *controllers]


@pytest.fixture
def started(tmp_path: Path) -> "Iterator[dict[str, subprocess.Popen[bytes]]]":
    """Two controllers, by their URLs."""
    ports = [free_port(), free_port()]
    env = {"KODOLLY_JOIN_TOKEN": TOKEN}
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    one, two = (kodolly("controller", "--port", str(port)) for port in ports)
    with (
        running(one, tmp_path / "c1", f"{urls[0]}/healthz", env, tmp_path) as first,
        running(two, tmp_path / "c2", f"{urls[1]}/healthz", env, tmp_path) as second,
    ):
        yield dict(zip(urls, (first, second), strict=True))


@pytest.fixture
def controllers(started: "dict[str, subprocess.Popen[bytes]]") -> list[str]:
    return list(started)


Worker = tuple[subprocess.Popen[bytes], int, Path]
"""Its supervisor, its port and its log."""


@pytest.fixture
def worker(tmp_path: Path, controllers: list[str]) -> Iterator[Worker]:
    port, log = free_port(), tmp_path / "worker.log"
    with running(supervise(port, scripted(port), *controllers), log) as process:
        wait_for(lambda: state(controllers[0]) == "ready", 20, process, log, "ready")
        yield process, port, log


def engine_pid(port: int) -> int | None:
    found = subprocess.run(["pgrep", "-f", f"scripted_engine --port {port} "], capture_output=True, text=True)
    return int(found.stdout.split()[0]) if found.stdout else None


def alive(pid: int) -> bool:
    """Whether the process runs; one that waits for its parent to look is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


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


def test_an_engine_that_is_dead_inside_is_replaced_although_its_server_still_answers(
    worker: Worker, controllers: list[str]
) -> None:
    _, port, log = worker
    first = engine_pid(port)
    httpx2.post(f"http://127.0.0.1:{port}/_script", json={"health": 503}, trust_env=False)
    wait_for(lambda: state(controllers[0]) == "down", 10, what="down")
    wait_for(lambda: state(controllers[0]) == "ready", 20, what="ready again")
    assert engine_pid(port) not in (None, first)
    assert "its EngineCore process is dead" in log.read_text(encoding="utf-8")


def test_the_load_reaches_the_controllers(worker: Worker, controllers: list[str]) -> None:
    _, port, _ = worker
    url = f"http://127.0.0.1:{port}"
    with stalled_answer(url):
        wait_for(lambda: listed(controllers[0])[0]["load"]["running"] == 1, 15, what="the load")
    assert listed(controllers[0])[0]["load"]["kv_cache_use"] == 0.25


def test_an_engine_that_cannot_start_is_tried_again_and_its_reason_is_logged(
    tmp_path: Path, controllers: list[str]
) -> None:
    port, log = free_port(), tmp_path / "worker.log"
    engine = [sys.executable, "-c", "raise SystemExit('ValueError: 모델이 너무 큽니다')"]
    with running(supervise(port, engine, *controllers), log):
        wait_for(lambda: "starting it again in 2 s" in log.read_text(encoding="utf-8"), 20, what="two tries")
        wait_for(lambda: state(controllers[0]) == "down", 10, what="down")
    text = log.read_text(encoding="utf-8")
    assert "the engine ended (exit code 1); its last error: ValueError: 모델이 너무 큽니다" in text
    assert "Traceback" not in text


def test_a_controllers_wish_lets_the_worker_end_its_streams_and_leave(
    worker: Worker, controllers: list[str]
) -> None:
    process, port, log = worker
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: state(controllers[1]) == "ready", 10, what="the second controller")
    with stalled_answer(url, max_tokens=3) as lines:
        wish = f"{controllers[0]}/v1/workers/127.0.0.1-{port}/drain"
        for _ in range(2):  # the first wish is taken back while the stream runs
            asked = httpx2.post(wish, json={"timeout_s": 60}, headers=AUTH, trust_env=False)
            assert asked.json()["state"] == state(controllers[0]) == "draining"
            wait_for(
                lambda: state(controllers[1]) == "draining", 10, what="the other controller to hear of it"
            )
            if "this worker is to go on" in log.read_text(encoding="utf-8"):
                break
            taken = {"incarnation": asked.json()["incarnation"]}
            httpx2.delete(wish, params=taken, headers=AUTH, trust_env=False).raise_for_status()
            wait_for(lambda: {state(one) for one in controllers} == {"ready"}, 10, what="the worker to go on")
        httpx2.post(f"{url}/_script/release", trust_env=False)
        assert "data: [DONE]" in list(lines)
    assert process.wait(PATIENCE_S) == 0
    assert [listed(url) for url in controllers] == [[], []]
    assert "Traceback" not in log.read_text(encoding="utf-8")


def test_kodolly_drain_waits_until_the_workers_of_a_model_are_gone(
    worker: Worker, controllers: list[str], tmp_path: Path
) -> None:
    process, port, _ = worker
    flags = [word for url in controllers for word in ("--controller", url)]
    env = os.environ | {"KODOLLY_JOIN_TOKEN": TOKEN}
    wrong = subprocess.run(kodolly("drain", "doly", *flags), capture_output=True, text=True, env=env)
    assert (wrong.returncode, "There are: 127.0.0.1-" in wrong.stderr) == (2, True)
    done = subprocess.run(
        kodolly("drain", "dolly", *flags), capture_output=True, text=True, cwd=tmp_path, env=env
    )
    assert done.returncode == 0, done.stderr
    assert f"127.0.0.1-{port}: stopped after" in done.stderr
    assert process.wait(PATIENCE_S) == 0


def test_a_second_signal_stops_at_once(worker: Worker, controllers: list[str]) -> None:
    process, port, log = worker
    url = f"http://127.0.0.1:{port}"
    with stalled_answer(url):
        process.send_signal(signal.SIGINT)
        wait_for(lambda: state(controllers[0]) == "draining", 5)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert "although requests are running" in log.read_text(encoding="utf-8")
    assert listed(controllers[0]) == []


def test_a_killed_supervisor_leaves_nothing_even_of_an_engine_that_ignores_signals(
    tmp_path: Path, controllers: list[str]
) -> None:
    port, log = free_port(), tmp_path / "worker.log"
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print('pids', __import__('os').getpid(), child.pid, flush=True); time.sleep(600)"
    )
    with running(supervise(port, [sys.executable, "-c", stubborn], *controllers), log) as process:
        wait_for(lambda: "engine | pids" in log.read_text(encoding="utf-8"), 20, process, log)
        pids = log.read_text(encoding="utf-8").split("engine | pids ")[1].split()[:2]
        process.kill()
        process.wait()
        wait_for(lambda: not any(alive(int(pid)) for pid in pids), 20, what="both processes to be gone")


async def test_a_stop_waits_for_the_running_stream(worker: Worker, controllers: list[str]) -> None:
    process, port, _ = worker
    script(f"http://127.0.0.1:{port}", "stall_at_token:1")
    body = {"model": "dolly", "messages": MESSAGES, "max_tokens": 3, "stream": True}
    async with (
        httpx2.AsyncClient(
            trust_env=False, timeout=PATIENCE_S, headers={"authorization": "Bearer k"}
        ) as client,
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
    worker: Worker, started: "dict[str, subprocess.Popen[bytes]]", tmp_path: Path
) -> None:
    url = list(started)[1]
    wait_for(lambda: state(url) == "ready", 10)
    started[url].kill()
    started[url].wait()
    env = {"KODOLLY_JOIN_TOKEN": TOKEN}
    argv = kodolly("controller", "--port", url.rpartition(":")[2])
    with running(argv, tmp_path / "again", f"{url}/healthz", env, tmp_path):
        wait_for(lambda: state(url) == "ready", 10, what="the worker to be back")


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
