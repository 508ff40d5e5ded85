"""200 streams at once while workers die, hang and are cut: nobody is left without an answer or the truth.

Each test prints what became of its streams; run with -s to read it.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway_stack import TOKEN, Member, member
from tests.support.load import Outcome, incomplete, new_client, stream, streams, summary
from tests.support.processes import free_port, kodolly, running, script, stop, wait_for
from tests.support.scripted_answers import answer_text

pytestmark = pytest.mark.slow

STREAMS = 200
TOKENS = 12
SETTINGS = "gateway: {first_event_timeout_s: 200, idle_timeout_s: 200, connect_timeout_s: 2}\n"
"""Streams that wait for the moment to act must not be cut before it comes, however slow the machine."""


@dataclass
class Engine:
    url: str
    process: "subprocess.Popen[bytes]"
    member: Member

    def is_stopped(self) -> bool:
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def log(self) -> dict[str, Any]:
        seen: dict[str, Any] = httpx2.get(f"{self.url}/_script/log", trust_env=False).json()
        return seen


@dataclass
class Cluster:
    """Three engines of one model behind one gateway."""

    root: Path
    controller: str
    gateway: str
    engines: list[Engine]
    keeping: list[Any]
    gateway_process: "subprocess.Popen[bytes]"
    controller_process: "subprocess.Popen[bytes]"
    env: dict[str, str]

    def unregister(self, index: int) -> None:
        """The worker's supervisor falls silent: its lease runs out."""
        self.keeping[index].__exit__(None, None, None)
        self.keeping[index] = None

    def in_flight(self) -> float:
        page = httpx2.get(f"{self.gateway}/metrics", trust_env=False).text
        samples = [
            line for line in page.splitlines() if line.startswith("kodolly_gateway_upstream_in_flight")
        ]
        return sum(float(line.rpartition(" ")[2]) for line in samples)


@contextmanager
def engine_process(root: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [sys.executable, "-m", "tests.support.scripted_engine", "--port", str(port), "--model", "dolly"]
    health = f"http://127.0.0.1:{port}/health"
    with running(argv, root / f"engine-{port}.log", health) as process:
        yield process
        process.send_signal(signal.SIGCONT)  # a stopped one could not take SIGTERM


@contextmanager
def cluster(root: Path, **settings: str) -> Iterator[Cluster]:
    with ExitStack() as stack:
        controller, gateway = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        (root / "kodolly.yaml").write_text(SETTINGS)
        env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(root / "state")} | settings
        controller_process = stack.enter_context(
            running(
                kodolly("controller", "--port", controller.rpartition(":")[2]),
                root / "controller.log",
                f"{controller}/healthz",
                env,
                root,
            )
        )
        gateway_process = stack.enter_context(
            running(gateway_argv(gateway, controller), root / "gateway.log", f"{gateway}/healthz", env, root)
        )
        engines, keeping = [], []
        for index in range(3):
            port = free_port()
            process = stack.enter_context(engine_process(root, port))
            url = f"http://127.0.0.1:{port}"
            registered = member(controller, url, f"worker-{index}", "dolly")
            kept = registered.kept()
            kept.__enter__()
            engines.append(Engine(url, process, registered))
            keeping.append(kept)
        wait_for(lambda: workers(controller) == 3, 10, what="three workers")
        wait_for(lambda: ready_workers(gateway) == 3, 10, what="three workers at the gateway")
        made = Cluster(root, controller, gateway, engines, keeping, gateway_process, controller_process, env)
        try:
            yield made
        finally:
            for kept in keeping:
                if kept is not None:
                    kept.__exit__(None, None, None)


def gateway_argv(gateway: str, controller: str) -> list[str]:
    return kodolly("gateway", "--port", gateway.rpartition(":")[2], "--controller", controller)


def workers(controller: str) -> int:
    headers = {"authorization": f"Bearer {TOKEN}"}
    listed = httpx2.get(f"{controller}/v1/workers", headers=headers, trust_env=False).json()["workers"]
    return sum(worker["state"] == "ready" for worker in listed)


def bodies(count: int = STREAMS) -> list[dict[str, object]]:
    """Different conversations, so that affinity spreads them."""
    return [
        {"model": "dolly", "messages": [{"role": "user", "content": f"질문 {n}"}], "max_tokens": TOKENS}
        for n in range(count)
    ]


def is_idle(engine: Engine) -> bool:
    return bool(engine.log()["running"] == 0)


def check(cluster: Cluster, outcomes: list[Outcome], title: str) -> None:
    """The truth for everybody, and nothing left over."""
    print(f"\n{title}: {summary(outcomes)}")
    assert not [o for o in outcomes if o.end == "silent"], "a stream ended without a word"
    assert not [o for o in outcomes if o.end == "refused"], "one that had not started was not moved"
    whole = answer_text("dolly", TOKENS)
    for outcome in outcomes:
        if outcome.end == "complete":
            assert outcome.text == whole
        else:
            assert outcome.text, "it had not started, and yet it was not moved"
            assert whole.startswith(outcome.text)
    wait_for(lambda: cluster.in_flight() == 0, 10, what="no request in flight")
    for engine in cluster.engines:
        if engine.process.poll() is None and not engine.is_stopped():
            wait_for(partial(is_idle, engine), 10, what="idle engines")


async def during(cluster: Cluster, act: Callable[[], None], victim: Engine, token: int = 0) -> list[Outcome]:
    """Start all streams; `act` once all that have not ended are at the `victim`, each with `token` tokens."""
    open_streams = dict.fromkeys(range(STREAMS), 0)
    """Stream -> how many tokens it has brought."""

    async def ask(client: httpx2.AsyncClient, number: int, body: dict[str, object]) -> Outcome:
        def count() -> None:
            open_streams[number] += 1

        outcome = await stream(client, cluster.gateway, body, count)
        del open_streams[number]
        return outcome

    def ready() -> bool:
        seen = [*open_streams.values()]
        return set(seen) == {token} and victim.log()["running"] == len(seen)

    async with new_client(STREAMS) as client:
        asking = asyncio.gather(*(ask(client, number, body) for number, body in enumerate(bodies())))
        await asyncio.to_thread(wait_for, ready, 20, what="the moment to act")
        act()
        return list(await asking)


def test_a_worker_killed_when_idle_costs_nobody_anything(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        asyncio.run(streams(made.gateway, bodies(60)))  # connections to all engines are in the pool
        made.unregister(0)
        made.engines[0].process.kill()
        outcomes = asyncio.run(streams(made.gateway, bodies()))
        check(made, outcomes, "SIGKILL, idle")
        assert incomplete(outcomes) == {}


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
def test_a_worker_lost_in_prefill_hands_all_its_requests_on(tmp_path: Path, how: str) -> None:
    with cluster(tmp_path) as made:
        victim = made.engines[0]
        script(victim.url, "stall_before_headers")

        def lose() -> None:
            made.unregister(0)
            victim.process.send_signal(signal.Signals[how])

        outcomes = asyncio.run(during(made, lose, victim))
        check(made, outcomes, f"{how}, in prefill")
        assert incomplete(outcomes) == {}


@pytest.mark.parametrize(
    ("how", "token", "manner"),
    [
        *((how, token, "vllm") for how in ("SIGKILL", "SIGSTOP") for token in (1, TOKENS // 2, TOKENS - 1)),
        ("SIGSTOP", TOKENS // 2, "crlf"),
    ],
)
def test_a_worker_lost_in_the_middle_is_told_to_each_client(
    tmp_path: Path, how: str, token: int, manner: str
) -> None:
    with cluster(tmp_path) as made:
        victim = made.engines[0]
        script(victim.url, f"stall_at_token:{token}", manner=manner)

        def lose() -> None:
            made.unregister(0)
            victim.process.send_signal(signal.Signals[how])

        outcomes = asyncio.run(during(made, lose, victim, token))
        check(made, outcomes, f"{how}, at token {token} of {TOKENS}")
        assert {o.end for o in outcomes} == {"complete", "told"}


@pytest.mark.parametrize(
    "mode", ["reset_at_token:0", "reset_at_token:5", f"cut_at_token:{TOKENS - 1}", "no_done"]
)
def test_a_worker_that_breaks_connections(tmp_path: Path, mode: str) -> None:
    with cluster(tmp_path) as made:
        script(made.engines[0].url, mode)
        outcomes = asyncio.run(streams(made.gateway, bodies()))
        check(made, outcomes, mode)


def test_cut_streams_go_on_at_another_worker_where_that_is_wanted(tmp_path: Path) -> None:
    with cluster(tmp_path, KODOLLY_GATEWAY_RESUME_STREAMS="true") as made:
        victim = made.engines[0]
        script(victim.url, "stall_at_token:5")

        def lose() -> None:
            made.unregister(0)
            victim.process.kill()

        outcomes = asyncio.run(during(made, lose, victim, 5))
        check(made, outcomes, "SIGKILL at token 5, with resume")
        assert incomplete(outcomes) == {}


def test_no_controller_and_a_gateway_restarted_from_its_snapshot(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        for index in range(3):
            made.unregister(index)
        stop(made.controller_process)
        outcomes = asyncio.run(streams(made.gateway, bodies()))
        stop(made.gateway_process)
        argv = gateway_argv(made.gateway, made.controller)
        with running(argv, tmp_path / "again.log", f"{made.gateway}/healthz", made.env, tmp_path):
            outcomes += asyncio.run(streams(made.gateway, bodies()))
            check(made, outcomes, "no controller, gateway restarted")
            assert incomplete(outcomes) == {}
            made.engines[1].process.send_signal(signal.SIGSTOP)
            noticed = "the gateway to notice a hanging worker by itself"
            wait_for(lambda: ready_workers(made.gateway) == 2, 40, what=noticed)
            outcomes = asyncio.run(streams(made.gateway, bodies()))
            check_texts(outcomes)


def ready_workers(gateway: str) -> int:
    models = httpx2.get(f"{gateway}/v1/status", trust_env=False).json()["models"]
    return sum(int(model["workers"]) for model in models)


def check_texts(outcomes: list[Outcome]) -> None:
    print(f"hanging worker, no controller: {summary(outcomes)}")
    assert incomplete(outcomes) == {}


def test_a_restarted_controller_empties_nobodys_list(tmp_path: Path) -> None:
    """Steady load while the controller is killed and starts again, knowing nothing."""
    with cluster(tmp_path) as made:
        over = asyncio.Event()

        async def keep_asking() -> list[Outcome]:
            done: list[Outcome] = []
            async with new_client(20) as client:

                async def one(number: int) -> None:
                    while not over.is_set():
                        done.append(await stream(client, made.gateway, bodies(number + 1)[number]))

                await asyncio.gather(*(one(number) for number in range(20)))
            return done

        async def run() -> list[Outcome]:
            asking = asyncio.create_task(keep_asking())
            made.controller_process.kill()
            await asyncio.to_thread(made.controller_process.wait)
            argv = kodolly("controller", "--port", made.controller.rpartition(":")[2])
            health = f"{made.controller}/healthz"
            with running(argv, tmp_path / "controller-2.log", health, made.env, tmp_path):
                await asyncio.to_thread(wait_for, lambda: workers(made.controller) == 3, 20, what="workers")
                over.set()
                return await asking

        outcomes = asyncio.run(run())
        check(made, outcomes, "controller killed and restarted")
        assert incomplete(outcomes) == {}


def test_open_files_return_to_where_they_were(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        files = Path(f"/proc/{made.gateway_process.pid}/fd")
        asyncio.run(streams(made.gateway, bodies(20)))
        before = len(os.listdir(files))
        script(made.engines[0].url, "cut_at_token:3")
        asyncio.run(streams(made.gateway, bodies()))
        # Connections to engines may stay in the pool: as many as there were streams at most.
        wait_for(lambda: len(os.listdir(files)) <= before + STREAMS, 10, what="closed files")
