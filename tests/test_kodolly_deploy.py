"""Hot swap: a new checkpoint behind a name while streams run. Figures are printed (pytest -s shows them)."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from pydantic import BaseModel

from common.errors import UserError
from finetune.demo.build import build_demo, demo_directories
from finetune.progress import silent
from kodolly.clients.control import Addresses, ControlRequest, Where, open_control
from tests.support.load import SHORT_CHAT, Outcome, incomplete, load_until, new_client, stream, summary
from tests.support.operator_stack import Cluster, cluster, fake_vllm
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, wait_for

pytestmark = pytest.mark.slow

CLIENTS = 24
CLIENTS_OF_REAL_VLLM = 4
"""They, the old engine and the new one's start share the cores."""
DEMO = Path(__file__).parents[1] / ".kodolly" / "e2e" / "demo"
"""Where the end-to-end tests keep the trained demo models."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path, controllers=2) as running_cluster:
        yield running_cluster


async def deploy_under_load(
    stack: Cluster, *args: str, clients: int = CLIENTS
) -> "tuple[subprocess.CompletedProcess[str], list[Outcome]]":
    done = asyncio.Event()
    loading = asyncio.create_task(load_until(done, stack.gateway, clients))
    await asyncio.sleep(0)
    deployed = await asyncio.to_thread(stack.command, "deploy", *args)
    done.set()
    return deployed, await loading


def drain_rest(stack: Cluster, model: str) -> None:
    assert stack.command("drain", model, *stack.controller_flags()).returncode == 0


async def test_no_request_fails_while_the_checkpoint_changes(stack: Cluster) -> None:
    new = stack.checkpoint("new")
    with stack.worker("dolly") as first, stack.worker("dolly") as second:
        old = {str(w["worker_id"]) for w in stack.workers()}
        # With a configured address the new worker gets its own port there: else both would be one worker.
        env = {"KODOLLY_WORKER_ADVERTISE_URL": str(stack.workers()[0]["url"])}
        elsewhere = replace(stack, env=stack.env | env)
        deployed, outcomes = await deploy_under_load(elsewhere, "dolly", str(new), *stack.controller_flags())
        assert deployed.returncode == 0, deployed.stderr
        assert (first.wait(PATIENCE_S), second.wait(PATIENCE_S)) == (0, 0)
    print(f"\nhot swap under {CLIENTS} streaming clients: {len(outcomes)} requests, {summary(outcomes)}")
    assert incomplete(outcomes) == {}
    assert len(outcomes) >= CLIENTS
    now = [str(w["worker_id"]) for w in stack.workers()]
    assert len(now) == 1
    assert not set(now) & old
    assert "served by" in deployed.stderr
    # It runs on without us, and drain stops it.
    assert (await stream_once(stack)).end == "complete"
    await asyncio.to_thread(drain_rest, stack, "dolly")
    assert stack.workers() == []


async def stream_once(stack: Cluster) -> Outcome:
    async with new_client(1) as client:
        return await stream(client, stack.gateway, SHORT_CHAT)


@pytest.mark.parametrize(
    ("kind", "flags", "words"),
    [
        ("broken", (), "가중치를 읽을 수 없습니다"),
        ("never ready", ("--timeout", "3"), "was not ready after 3 s"),
    ],
)
async def test_a_checkpoint_that_does_not_become_ready_changes_nothing(
    stack: Cluster, kind: str, flags: tuple[str, ...], words: str
) -> None:
    new = stack.checkpoint("new", kind)
    with stack.worker("dolly") as old:
        deployed, outcomes = await deploy_under_load(
            stack, "dolly", str(new), *flags, *stack.controller_flags()
        )
        assert deployed.returncode == 2
        assert words in deployed.stderr + log_of(stack)
        assert old.poll() is None
        assert stack.states("dolly") == ["ready"]
        assert incomplete(outcomes) == {}
    assert "Traceback" not in deployed.stderr


def test_a_deploy_that_is_told_to_end_leaves_no_worker_behind(stack: Cluster) -> None:
    asked = kodolly("deploy", "dolly", str(stack.checkpoint("new", "never ready")), *stack.controller_flags())
    with subprocess.Popen(
        asked, cwd=stack.path, env=os.environ | stack.env, stderr=subprocess.PIPE, text=True
    ) as deploying:
        wait_for(lambda: stack.states("dolly") == ["loading"], PATIENCE_S, what="the new worker")
        deploying.terminate()
        said = deploying.communicate()[1]
    assert deploying.returncode == 128 + signal.SIGTERM
    assert "stopping the new worker" in said
    assert stack.workers() == []


def log_of(stack: Cluster) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in (stack.path / "state" / "logs").glob("*.log"))


def test_other_names_are_not_taken_away(stack: Cluster) -> None:
    new = stack.checkpoint("new")
    with stack.worker("dolly", "--name", "other"):
        done = stack.command("deploy", "dolly", str(new), *stack.controller_flags())
        assert (done.returncode, "serves other too" in done.stderr) == (2, True)
        missing = stack.command("deploy", "dolly", "nowhere", *stack.controller_flags())
        assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)
        assert stack.states("dolly") == ["ready"]


async def test_an_up_of_another_controller_is_not_given_the_new_worker(stack: Cluster) -> None:
    """It would register there, and never be ready where it is asked for."""
    asked: list[str] = []

    async def handle(request: ControlRequest) -> BaseModel:
        asked.append(request.do)
        if not isinstance(request, Where):
            raise UserError("This up has workers of its own.")
        return Addresses(controller="http://127.0.0.1:9", gateway="http://127.0.0.1:9")

    async with open_control(stack.path / "state", handle):
        command = ("deploy", "dolly", str(stack.checkpoint("new")), *stack.controller_flags())
        done = await asyncio.to_thread(stack.command, *command)
        assert done.returncode == 0, done.stderr
    assert set(asked) == {"where"}
    assert [stack.states("dolly", index) for index in range(2)] == [["ready"], ["ready"]]
    await asyncio.to_thread(drain_rest, stack, "dolly")


def test_a_running_up_takes_the_new_worker_under_its_care(tmp_path: Path) -> None:
    """Ctrl-C at `up` stops it, and the drained one stays stopped."""
    env = fake_vllm(tmp_path) | {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    ports = {name: free_port() for name in ("gateway", "webui", "controller")}
    for name, port in ports.items():
        env[f"KODOLLY_{name.upper()}_PORT"] = str(port)
    env["KODOLLY_UP_WORKER_PORT"] = str(free_port())
    env["KODOLLY_DOCUMENTS_PORT"] = str(free_port())
    gateway, log = f"http://127.0.0.1:{ports['gateway']}", tmp_path / "up.log"
    here = Cluster(tmp_path, [f"http://127.0.0.1:{ports['controller']}"], gateway, env)
    old, new = here.checkpoint("dolly"), here.checkpoint("new")
    with running(kodolly("up", str(old)), log, None, env, tmp_path) as up:
        wait_for(lambda: "kodolly is ready" in log.read_text(encoding="utf-8"), 60, up, log, "up")
        done = here.command("deploy", "dolly", str(new))
        assert done.returncode == 0, done.stderr
        # The command ends when the registry has seen the old worker leave, a moment before its process ends.
        stopped = "worker-dolly has stopped, as it was asked to; it stays stopped"
        wait_for(lambda: stopped in log.read_text(encoding="utf-8"), 60, up, log, "the old worker's end")
        listed = models_of(here)
        assert list(listed) == ["dolly"]
        pids = children(up.pid)
        second = subprocess.run(
            kodolly("up", str(old)), capture_output=True, text=True, cwd=tmp_path, env=os.environ | env
        )
        assert (second.returncode, "Traceback" in second.stderr) == (2, False)
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0
    assert pids
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def models_of(stack: Cluster) -> dict[str, str]:
    status = httpx2.get(f"{stack.gateway}/v1/status", trust_env=False).json()
    return {entry["id"]: entry["state"] for entry in status["models"] if entry["kind"] == "worker"}


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [grand for child in found for grand in (int(child), *children(int(child)))]


@pytest.mark.timeout(900)
async def test_no_request_fails_while_real_vllm_changes_its_checkpoint(tmp_path: Path) -> None:
    """demo-base and its LoRA adapter, then demo-base alone, then the merged checkpoint in its place."""
    await asyncio.to_thread(build_demo, DEMO, silent)
    base, merged = demo_directories(DEMO)
    adapter = DEMO / merged.name.replace("demo-dolly", "adapter")
    with cluster(tmp_path, real_vllm=True) as stack:
        flags = ["--adapter", f"돌리={adapter}", "--cpu-threads", "1"]
        with stack.worker("base", *flags, model_dir=base):
            adapted = await asyncio.to_thread(answer_of, stack.gateway, "돌리")
            assert adapted != await asyncio.to_thread(answer_of, stack.gateway, "base")
        with stack.worker("dolly", "--cpu-threads", "1", model_dir=base) as old:
            deployed, outcomes = await deploy_under_load(
                stack, "dolly", str(merged), *stack.controller_flags(), clients=CLIENTS_OF_REAL_VLLM
            )
            assert deployed.returncode == 0, deployed.stderr
            assert old.wait(PATIENCE_S) == 0
        print(f"\nhot swap of real vLLM under {CLIENTS_OF_REAL_VLLM} streaming clients: {summary(outcomes)}")
        assert incomplete(outcomes) == {}
        # The merged checkpoint says what base and adapter together said.
        assert await asyncio.to_thread(answer_of, stack.gateway, "dolly") == adapted
        await asyncio.to_thread(drain_rest, stack, "dolly")


def answer_of(gateway: str, model: str) -> str:
    messages = [{"role": "user", "content": "토큰이 무엇인가요?"}]
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 24}
    answer = httpx2.post(f"{gateway}/v1/chat/completions", json=body, timeout=120, trust_env=False)
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])
