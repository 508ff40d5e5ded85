"""Ten raters finish a study of fifty prompts at once, while the web UI is killed and started again."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.processes import PATIENCE_S, free_port, running, wait_for
from tests.support.webui_stage import Stage, gateway_command, webui_command

pytestmark = pytest.mark.slow
RATERS, PROMPTS, EACH = 10, 50, 4
KILL_AFTER = 40
"""Judgements: the answers are not all there by then either."""


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with a cookie of its own, as each rater's browser has."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        await client.get("/study", headers={"accept": "text/html"})
        yield client


async def patiently(client: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    """The same request until it is answered, as the page's script sends it."""
    while True:
        try:
            response = await client.request(method, path, json=body)
        except httpx2.HTTPError:
            await asyncio.sleep(0.1)
            continue
        if response.status_code < 500:
            return response.raise_for_status().json()


async def rate(url: str, study: str, seen: list[str]) -> None:
    """One rater: votes by the question alone, whatever comes, until nothing is left."""
    async with browser(url) as client:
        told = await patiently(client, "POST", f"/study/api/studies/{study}/next")
        while told.get("nothing") != "done":
            task = told.get("task")
            if task is None:
                await asyncio.sleep(0.1)
                told = await patiently(client, "POST", f"/study/api/studies/{study}/next")
                continue
            said = {"choice": ("left", "tie", "right")[task["position"] % 3], "seconds": 1.5}
            told = await patiently(client, "PUT", f"/study/api/tasks/{task['id']}", said)
            seen.append(task["id"])


async def make_study(url: str) -> str:
    lines = [
        json.dumps({"질문": f"{number}번째 질문입니다"}, ensure_ascii=False) for number in range(PROMPTS)
    ]
    form = {"name": "평가", "kind": "vote", "models": ["fast", "echo"], "raters": str(EACH), "blind": "true"}
    file = {"file": ("질문.jsonl", "\n".join(lines).encode())}
    async with browser(url) as client:
        made = await client.post("/study/api/studies", data=form, files=file)
        assert made.status_code == 200, made.text
        return str(made.json()["id"])


def rows(stage: Stage, study: str) -> list[dict[str, Any]]:
    """What an administrator downloads."""
    text = httpx2.get(f"{stage.url}/study/files/{study}.jsonl", trust_env=False).raise_for_status().text
    return [json.loads(line) for line in text.splitlines()]


def votes(stage: Stage) -> int:
    return len(stage.script()["votes"])


async def test_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path) -> None:
    port, gateway_port = free_port(), free_port()
    environment = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    stage = Stage(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway_port}", environment)
    command = webui_command(port, stage.gateway)
    up = (tmp_path / "webui.log", f"{stage.url}/healthz", environment)
    seen: list[str] = []
    with running(gateway_command(gateway_port), tmp_path / "gateway.log", f"{stage.gateway}/script"):
        with running(command, *up) as first:
            study = await make_study(stage.url)
            raters = [asyncio.create_task(rate(stage.url, study, seen)) for _ in range(RATERS)]
            while len(seen) < KILL_AFTER:
                await asyncio.sleep(0.01)
            first.kill()
            await asyncio.to_thread(first.wait)
        async with beside(running(command, *up)), asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*raters)
            judged = rows(stage, study)
            await asyncio.to_thread(wait_for, lambda: votes(stage) == PROMPTS * EACH, PATIENCE_S)
        sent = stage.script()["votes"]
    assert Counter(row["prompt"] for row in judged) == dict.fromkeys(range(1, PROMPTS + 1), EACH)
    assert len({(row["prompt"], row["rater_id"]) for row in judged}) == PROMPTS * EACH
    assert {row["id"] for row in judged} == set(sent) >= set(seen)
    for row in judged:
        assert row["choice"] == ("left", "tie", "right")[(row["prompt"] - 1) % 3] == sent[row["id"]]["choice"]
        assert (sent[row["id"]]["rater_id"], sent[row["id"]]["session_id"]) == (row["rater_id"], study)
    assert len({row["rater_id"] for row in judged}) == RATERS


@asynccontextmanager
async def beside(process: AbstractContextManager[Any]) -> AsyncIterator[None]:
    """Start and stop a process in a thread: raters go on asking meanwhile."""
    await asyncio.to_thread(process.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)
