"""The operator's commands against a running cluster: alias, ps, top."""

import json
import os
import pty
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from controller.aliases import read_names
from kodolly.operate.overview import age_s, duration
from kodolly.operate.table import fit, table, width
from tests.support.operator_stack import Cluster, cluster
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        cluster(tmp_path_factory.mktemp("operate"), controllers=2) as running_cluster,
        running_cluster.worker("돌리", "--name", "dolly", "--", "--max-num-seqs", "4"),
    ):
        yield running_cluster


def ask(stack: Cluster, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 2}
    return httpx2.post(f"{stack.gateway}/v1/chat/completions", json=body, trust_env=False).status_code


def test_an_alias_is_known_to_gateways_at_once_and_to_both_controllers(stack: Cluster) -> None:
    flags = stack.controller_flags()
    assert ask(stack, "모델/채팅 ?") == 404
    done = stack.command("alias", "모델/채팅 ?", "돌리", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    wait_for(lambda: ask(stack, "모델/채팅 ?") == 200, 5, what="the alias at the gateway")
    listed = stack.command("alias", *flags)
    assert listed.stdout == "모델/채팅 ?  ->  돌리\n"
    for url in stack.controllers:
        path = stack.path / "state" / f"aliases-{url.rpartition(':')[2]}.json"
        assert read_names(path).aliases == {"모델/채팅 ?": "돌리"}
        assert path.stat().st_mode & 0o777 == 0o600
    chain = stack.command("alias", "x", "모델/채팅 ?", *flags)
    assert (chain.returncode, "straight to a model's own name" in chain.stderr) == (2, True)
    assert stack.command("alias", "--remove", "모델/채팅 ?", *flags).returncode == 0
    wait_for(lambda: ask(stack, "모델/채팅 ?") == 404, 5, what="the end of the alias")
    again = stack.command("alias", "--remove", "모델/채팅 ?", *flags)
    assert (again.returncode, "There is no alias" in again.stderr) == (2, True)


def test_a_model_that_nobody_serves_yet_is_said(stack: Cluster) -> None:
    done = stack.command("alias", "later", "next-model", *stack.controller_flags())
    assert (done.returncode, done.stderr) == (0, "No worker serves next-model now.\n")
    assert stack.command("alias", "--remove", "later", *stack.controller_flags()).returncode == 0


def test_aliases_outlive_controller_and_gateway(tmp_path: Path) -> None:
    with cluster(tmp_path) as stack, stack.worker("dolly"):
        (url,) = stack.controllers
        assert stack.command("alias", "chat", "dolly", "--controller", url).returncode == 0
        wait_for(lambda: ask(stack, "chat") == 200, 5, what="the alias")
        port = url.rpartition(":")[2]
        other = tmp_path / "again.log"
        # A second gateway that has the first one's copy on disk, and no controller that answers.
        saved = tmp_path / "state" / f"workers-{httpx2.URL(stack.gateway).port}.json"
        wait_for(saved.exists, 5, what="the gateway's copy")
        wait_for(lambda: '"chat"' in saved.read_text(encoding="utf-8"), 5, what="the alias on disk")
        target = tmp_path / "alone"
        target.mkdir()
        alone = free_port()
        (target / f"workers-{alone}.json").write_bytes(saved.read_bytes())
        argv = kodolly("gateway", "--port", str(alone), "--controller", "http://127.0.0.1:9")
        env = stack.env | {"KODOLLY_STATE_DIR": str(target)}
        url_alone = f"http://127.0.0.1:{alone}"
        with running(argv, other, f"{url_alone}/healthz", env, tmp_path):
            names = [m["id"] for m in httpx2.get(f"{url_alone}/v1/models", trust_env=False).json()["data"]]
        assert sorted(names) == ["chat", "dolly"]
    assert read_names(tmp_path / "state" / f"aliases-{port}.json").aliases == {"chat": "dolly"}


def test_with_one_of_two_controllers_dead_everything_goes_on(tmp_path: Path) -> None:
    with cluster(tmp_path, controllers=2) as stack, stack.worker("dolly") as worker:
        first = stack.controllers[0]
        stack.processes[first].kill()
        done = stack.command("alias", "chat", "dolly", *stack.controller_flags())
        assert (done.returncode, f"{first} could not be told" in done.stderr) == (0, True)
        # The gateway followed the dead one first, and finds the other.
        wait_for(lambda: ask(stack, "chat") == 200, 10, what="the alias from the other controller")
        argv = kodolly("controller", "--port", first.rpartition(":")[2])
        with running(argv, tmp_path / "again.log", f"{first}/healthz", stack.env, tmp_path):
            wait_for(lambda: stack.states("dolly") == ["ready"], 10, what="the worker to be back")
            listed = stack.command("alias", *stack.controller_flags())
            assert "The controllers differ: set chat again." in listed.stderr
            assert stack.command("drain", "dolly", *stack.controller_flags()).returncode == 0
            assert worker.wait(PATIENCE_S) == 0
            # Not 404: the name was served a moment ago.
            wait_for(lambda: ask(stack, "dolly") == 503, 10, what="the gateway to know")


def test_ps_shows_each_worker_and_model(stack: Cluster) -> None:
    done = stack.command("ps", *stack.controller_flags())
    assert done.returncode == 0, done.stderr
    titles, worker, empty, *models = done.stdout.splitlines()
    assert titles.split()[:3] == ["WORKER", "MODELS", "STATE"]
    assert "돌리, dolly" in worker
    assert " ready " in worker
    assert " 0/4 " in worker
    assert width(worker) == width(titles)
    assert empty == ""
    assert [line.split()[:2] for line in models] == [["MODEL", "READY"], ["dolly", "1/1"], ["돌리", "1/1"]]


def test_ps_as_json_holds_no_key(stack: Cluster) -> None:
    (worker,) = json.loads(stack.command("ps", "--json", *stack.controller_flags()).stdout)["workers"]
    assert (worker["state"], worker["capacity"], worker["load"]["running"]) == ("ready", 4, 0)
    assert worker["age_s"] > 0
    assert "engine_key" not in worker


def test_a_wrong_token_and_a_missing_controller_are_one_line(stack: Cluster) -> None:
    for flags, env, words in (
        (stack.controller_flags(), {"KODOLLY_JOIN_TOKEN": "wrong"}, "refuses the join token"),
        (["--controller", "http://127.0.0.1:9"], {}, "No controller answers"),
    ):
        wrong = replace(stack, env=stack.env | env)
        done = wrong.command("ps", *flags)
        assert (done.returncode, len(done.stderr.splitlines()), words in done.stderr) == (2, 1, True)
    assert "This needs a terminal" in stack.command("top", *stack.controller_flags()).stderr


def test_top_redraws_in_place_until_q_and_leaves_the_terminal_as_it_was(stack: Cluster) -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    argv = kodolly("top", "--gateway", stack.gateway, *stack.controller_flags())
    env = os.environ | stack.env | {"COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=stack.path
    ) as process:
        try:
            seen = b""
            while seen.count(b"\x1b[H") < 3:
                seen += os.read(ours, 65536)
            os.write(ours, b"q")
            while b"\x1b[?1049l" not in seen:
                seen += os.read(ours, 65536)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert termios.tcgetattr(theirs) == before
    text = seen.decode()
    assert "돌리, dolly" in text
    assert f"gateway {stack.gateway}" in text
    for descriptor in (ours, theirs):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "-"), (0.4, "0s"), (61, "1m 1s"), (3 * 3600 + 120, "3h 2m"), (90_000, "1d 1h")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_the_age_is_read_from_the_incarnation_whatever_it_looks_like() -> None:
    assert age_s("0000001000000-abcdef", now=1060.0) == 60.0
    assert age_s("0000009000000-abcdef", now=1060.0) == 0.0  # a clock that runs ahead
    assert age_s("incarnation-1") is None


def test_columns_are_aligned_for_hangul() -> None:
    rows = [("돌리", "1", "x"), ("dolly-2", "23", "")]
    lines = table(rows, right=(1,))
    assert lines == ["돌리      1  x", "dolly-2  23"]
    assert (width("한a"), fit("한국어", 5), fit("한국어", 6), fit("abc", 0)) == (3, "한국…", "한국어", "")
