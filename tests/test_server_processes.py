"""`kodolly gateway --processes N`: one port, several processes, exchanged under load without a loss."""

import asyncio
import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.support.load import Outcome, incomplete, new_client, stream, summary
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for
from tests.support.scripted_answers import answer_text

pytestmark = pytest.mark.slow


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_processes_share_the_port_and_are_exchanged_without_a_lost_request(tmp_path: Path) -> None:
    gateway = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(tmp_path, "dolly"))
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--processes", "2")
        env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
        log = tmp_path / "gateway.log"
        parent = stack.enter_context(
            running([*argv, "--static", f"dolly={engine}"], log, f"{gateway}/healthz", env, tmp_path)
        )
        wait_for(lambda: len(children(parent.pid)) == 2, 20, what="two processes")
        ready = f"{gateway}/v1/models"
        for _ in range(10):  # both processes
            wait_for(lambda: bool(httpx2.get(ready, trust_env=False).json()["data"]), 20, what="the model")
        before = children(parent.pid)
        over = asyncio.Event()

        async def keep_asking() -> list[Outcome]:
            done: list[Outcome] = []
            body: dict[str, object] = {
                "model": "dolly",
                "messages": [{"role": "user", "content": "안녕"}],
                "max_tokens": 8,
            }

            async def one() -> None:
                while not over.is_set():
                    async with new_client(1) as client:  # a new connection each time
                        done.append(await stream(client, gateway, body))

            await asyncio.gather(*(one() for _ in range(10)))
            return done

        async def run() -> list[Outcome]:
            asking = asyncio.create_task(keep_asking())
            os.kill(parent.pid, signal.SIGHUP)
            exchanged = lambda: "have been exchanged" in log.read_text()  # noqa: E731
            await asyncio.to_thread(wait_for, exchanged, 40, parent, log)
            over.set()
            return await asking

        outcomes = asyncio.run(run())
        print(f"\ntwo processes exchanged under load: {summary(outcomes)}")
        assert incomplete(outcomes) == {}
        assert {outcome.text for outcome in outcomes} == {answer_text("dolly", 8)}
        after = children(parent.pid)
        assert len(after) == 2
        assert not set(before) & set(after)
        page = httpx2.get(f"{gateway}/metrics", trust_env=False).text
        up = re.findall(r'kodolly_gateway_process_up\{process="(\d)"\} (\S+)', page)
        assert sorted(up) == [("0", "1.0"), ("1", "1.0")]
        os.kill(after[0], signal.SIGKILL)
        wait_for(lambda: len(set(children(parent.pid)) - {after[0]}) == 2, 20, what="a new process")
    assert not Path(f"/proc/{parent.pid}").exists()
