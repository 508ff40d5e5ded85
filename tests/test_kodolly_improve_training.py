"""A turn of `kodolly improve` as it is called: real training, merge, measuring and canary; scripted engines
answer."""

import asyncio
import json
import os
import random
import signal
import subprocess
import time
import uuid
from pathlib import Path

import httpx2
import pytest

from common.checkpoint_identity import checkpoint_id
from kodolly.improve.journal import Journal, journals
from tests.support.judgements import answer, rating
from tests.support.judgements import vote as cast
from tests.support.load import Outcome, incomplete, new_client, stream
from tests.support.operator_stack import Cluster, cluster
from tests.support.processes import PATIENCE_S, kodolly, wait_for
from tests.support.tiny_training import QUESTIONS, make_base, row, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POLITE = "고마워요."
LEARNS_FAST = {"method": "lora", "learning_rate": 1e-2, "epochs": 12, "batch_size": 8}
LEARNS_FAST |= {"smoke_test": False, "max_length": 256, "lora": {"rank": 32, "alpha": 32}}
PASSED = {"preference": True, "old_rows": True, "tasks": None, "length": True, "stop": True, "ethics": None}


def say(stack: Cluster, kind: str, body: dict[str, object]) -> None:
    url = f"{stack.gateway}/v1/feedback/{kind}/{uuid.uuid4()}"
    httpx2.put(url, json=body, trust_env=False).raise_for_status()


def correct(stack: Cluster, checkpoint: str) -> None:
    """People correct 60 answers, all to the same words."""
    for n in range(60):
        question = f"{n}번째: {QUESTIONS[n % len(QUESTIONS)]}"
        given = answer("tiny", "가나다", question, checkpoint=checkpoint)
        say(stack, "ratings", rating(1, given) | {"correction": POLITE})


def prefer_the_new(stack: Cluster, journal: Journal, checkpoint: str) -> None:
    """Fifteen people do, blind."""
    new = str(journal.content.steps["merge"])
    for n in range(15):
        left = answer("tiny", "가나다", f"질문 {n}", checkpoint=checkpoint)
        right = answer("tiny-canary", POLITE, f"질문 {n}", checkpoint=new)
        say(stack, "votes", cast("right", left, right) | {"rater_id": f"사람 {n}"})


def killed_five_times(stack: Cluster, words: list[str]) -> None:
    """SIGKILL at moments that are drawn, each behind another step of the turn; its processes go, too."""
    moments, directory = random.Random(5), stack.path / "runs" / "improve-1"
    for step in ("log.txt", "adapter", "checkpoint", "before.json", "after.json"):
        process = subprocess.Popen(
            kodolly(*words), cwd=stack.path, env=os.environ | stack.env, stderr=subprocess.DEVNULL
        )
        wait_for((directory / step).exists, PATIENCE_S)
        time.sleep(moments.uniform(0, 2))
        process.send_signal(signal.SIGKILL)
        process.wait()


async def load_until(done: asyncio.Event, gateway: str) -> list[Outcome]:
    """Two clients that stream one answer after the other."""
    body: dict[str, object] = {"model": "tiny", "max_tokens": 40}
    body["messages"] = [{"role": "user", "content": "안녕하세요"}]
    async with new_client(2) as client:

        async def ask() -> list[Outcome]:
            outcomes = []
            while not done.is_set():
                outcomes.append(await stream(client, gateway, body))
            return outcomes

        first, second = await asyncio.gather(ask(), ask())
    return [*first, *second]


async def test_killed_at_five_moments_it_is_promoted_and_no_stream_breaks(tmp_path: Path) -> None:
    base = await asyncio.to_thread(make_base, tmp_path)
    card = json.loads((base / "kodolly.json").read_text())
    (base / "kodolly.json").write_text(json.dumps(card | {"recipe": LEARNS_FAST}, ensure_ascii=False))
    identity = checkpoint_id(base)
    write_rows(tmp_path / "old.jsonl", [row(n, "base") for n in range(len(QUESTIONS))])
    with cluster(tmp_path) as stack:
        flags = stack.controller_flags()

        async def command(code: int, *words: str) -> "subprocess.CompletedProcess[str]":
            ran = await asyncio.to_thread(stack.command, *words, *flags)
            assert ran.returncode == code, ran.stderr
            return ran

        words = ["improve", "tiny", "--gateway", stack.gateway, "--unattended", "--share", "50"]
        words += ["--replay", str(tmp_path / "old.jsonl"), "--max-forgotten", "1", "--max-longer", "2"]
        await command(0, "deploy", "tiny", str(base))
        await asyncio.to_thread(wait_for, lambda: stack.ready("tiny") == 1, PATIENCE_S)
        correct(stack, identity)
        done = asyncio.Event()
        loading = asyncio.create_task(load_until(done, stack.gateway))
        try:
            await asyncio.to_thread(killed_five_times, stack, [*words, *flags])
            await command(4, *words)
            (journal,) = journals(tmp_path / "runs")
            prefer_the_new(stack, journal, identity)
            await command(0, *words)
        finally:
            done.set()
            outcomes = await loading
        left = {card["name"] for worker in stack.workers() for card in worker["models"]}  # type: ignore[attr-defined]
        await command(0, "drain", "tiny")
    (journal,) = journals(tmp_path / "runs")
    print(f"\n{len(outcomes)} streams while the turn was taken")
    assert {gate["name"]: gate["passed"] for gate in journal.content.steps["gates"]} == PASSED
    assert journal.content.decision == "promoted"
    assert left == {"tiny"}
    assert POLITE in (journal.directory / "report.html").read_text(encoding="utf-8")
    assert incomplete(outcomes) == {}
