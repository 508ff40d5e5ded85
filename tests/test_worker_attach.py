"""Workers around servers that somebody else runs."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway_stack import TOKEN
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for
from tests.support.worker_stage import AUTH, listed, scripted, stalled_answer, state

pytestmark = pytest.mark.slow


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {"KODOLLY_JOIN_TOKEN": TOKEN}
    with running(kodolly("controller", "--port", str(port)), tmp_path / "c", f"{url}/healthz", env, tmp_path):
        yield url


ENV = {"KODOLLY_JOIN_TOKEN": TOKEN, "ENGINE_KEY": "k"}


def attach(url: str, controller: str, *flags: str) -> list[str]:
    return kodolly("worker", "--attach", url, "--controller", controller, *flags)


def test_the_state_follows_the_server(tmp_path: Path, controller: str) -> None:
    port, log = free_port(), tmp_path / "worker.log"
    url = f"http://127.0.0.1:{port}"
    flags = ["--model", "dolly", "--key-env", "ENGINE_KEY"]
    with running(attach(f"{url}/v1", controller, *flags), log, env=ENV) as process:
        wait_for(lambda: state(controller) == "down", 10, process, log, "a server that is not there yet")
        assert "nothing answers" in listed(controller)[0]["detail"]
        with running(scripted(port), tmp_path / "engine", f"{url}/health"):
            wait_for(lambda: state(controller) == "ready", 10, process, log, "ready")
            httpx2.post(f"{url}/_script", json={"health": 404}, trust_env=False)
            with stalled_answer(url):
                wait_for(lambda: listed(controller)[0]["load"]["running"] == 1, 15, what="the load")
            httpx2.post(f"{url}/_script", json={"health": 503}, trust_env=False)
            wait_for(lambda: state(controller) == "down", 10, what="down")
            assert "answers 503" in listed(controller)[0]["detail"]
            httpx2.post(f"{url}/_script", json={"health": 200}, trust_env=False)
            wait_for(lambda: state(controller) == "ready", 10, what="ready again")
        wait_for(lambda: state(controller) == "down", 10, what="the end of the server")


def test_a_drained_attachment_leaves_and_the_server_stays(tmp_path: Path, controller: str) -> None:
    log = tmp_path / "worker.log"
    with (
        scripted_engine(tmp_path, "base,adapter") as url,
        running(attach(url, controller, "--model", "base", "--model", "adapter"), log, env=ENV) as process,
    ):
        wait_for(lambda: state(controller) == "ready", 10, process, log, "ready")
        assert [card["name"] for card in listed(controller)[0]["models"]] == ["base", "adapter"]
        worker_id = listed(controller)[0]["worker_id"]
        httpx2.post(
            f"{controller}/v1/workers/{worker_id}/drain", headers=AUTH, trust_env=False
        ).raise_for_status()
        assert process.wait(PATIENCE_S) == 0
        assert listed(controller) == []
        assert httpx2.get(f"{url}/health", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model", "other"], "does not serve 'other'; it has: dolly"),
        (["--model", "dolly", "--model", "dolly"], "is given twice"),
        (["--model", "dolly", "--key-env", "NOT_SET"], "NOT_SET is not set"),
        (["--model", "dolly", "--port", "9"], "no engine is started"),
        ([], "--attach needs --model"),
    ],
)
def test_what_cannot_be_attached_is_one_clear_line(tmp_path: Path, flags: list[str], words: str) -> None:
    with scripted_engine(tmp_path, "dolly") as url:
        done = run(attach(url, "http://127.0.0.1:9", *flags))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_and_a_wrong_address_are_told(tmp_path: Path) -> None:
    with scripted_engine(tmp_path, "dolly", "right") as url:
        refused = run(attach(url, "http://127.0.0.1:9", "--model", "dolly", "--key-env", "ENGINE_KEY"))
    assert "refuses the key" in refused.stderr
    assert "is not an address" in run(attach("localhost:1", "http://127.0.0.1:9", "--model", "d")).stderr


def run(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}
    return subprocess.run(argv, env=os.environ | ENV, check=False, **options)
