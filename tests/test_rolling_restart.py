"""Every part restarted in turn while clients stream: nobody notices. The figures are printed (pytest -s)."""

import asyncio
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.load import Outcome, incomplete, new_client, stream, summary
from tests.support.operator_stack import Cluster, cluster
from tests.support.processes import kodolly, running, stop, wait_for

pytestmark = pytest.mark.slow

CLIENTS = 16
BODY: dict[str, object] = {
    "model": "dolly",
    "messages": [{"role": "user", "content": "안녕하세요"}],
    "max_tokens": 24,
}


async def load_until(done: asyncio.Event, gateway: str) -> list[Outcome]:
    """CLIENTS clients, each with a new connection for each stream, so that every moment has new requests."""
    outcomes: list[Outcome] = []

    async def ask() -> None:
        while not done.is_set():
            async with new_client(1) as client:
                outcomes.append(await stream(client, gateway, BODY))

    await asyncio.gather(*(ask() for _ in range(CLIENTS)))
    return outcomes


def restart_controllers(cluster: Cluster, parts: ExitStack) -> None:
    for url in cluster.controllers:
        stop(cluster.processes[url])
        port = url.rpartition(":")[2]
        log = cluster.path / f"controller-{port}-again.log"
        argv = kodolly("controller", "--port", port)
        parts.enter_context(running(argv, log, f"{url}/healthz", cluster.env, cluster.path))
        wait_for_both(cluster)


def replace_worker(cluster: Cluster, worker: "subprocess.Popen[bytes]", parts: ExitStack) -> None:
    assert stop(worker) == 0
    parts.enter_context(cluster.worker("dolly"))


def wait_for_both(cluster: Cluster) -> None:
    """Until controllers and gateway know of two ready workers."""
    wait_for(lambda: cluster.ready("dolly") == 2, 20, what="both workers")


def exchange_gateway_processes(cluster: Cluster) -> None:
    parent = cluster.processes[cluster.gateway]
    parent.send_signal(signal.SIGHUP)
    log = cluster.path / "gateway.log"
    wait_for(lambda: "have been exchanged" in log.read_text(encoding="utf-8"), 40, parent, log)


def test_every_part_is_restarted_and_no_request_fails(tmp_path: Path) -> None:
    with cluster(tmp_path, controllers=2, gateway_processes=2) as stack, ExitStack() as parts:
        workers = [parts.enter_context(stack.worker("dolly")) for _ in range(2)]

        async def run() -> list[Outcome]:
            done = asyncio.Event()
            loading = asyncio.create_task(load_until(done, stack.gateway))
            try:
                await asyncio.to_thread(restart_controllers, stack, parts)
                for worker in workers:
                    await asyncio.to_thread(replace_worker, stack, worker, parts)
                await asyncio.to_thread(exchange_gateway_processes, stack)
            finally:
                done.set()
            return await loading

        outcomes = asyncio.run(run())
        print(
            f"\n2 controllers, 2 workers, 2 gateway processes restarted under {CLIENTS} streaming clients: "
            f"{len(outcomes)} requests, {summary(outcomes)}"
        )
        assert incomplete(outcomes) == {}
        assert {outcome.text for outcome in outcomes} == {outcomes[0].text}
