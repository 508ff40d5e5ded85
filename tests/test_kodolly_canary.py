"""A canary from its start to the decision: with real workers once, and what is remembered and refused."""

import asyncio
import errno
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.registry import Alias, ModelCard
from kodolly.clients.controller_access import Controllers
from kodolly.operate.canary import Site, deploy_for_all, deploy_for_some, promote, rollback
from kodolly.operate.deploy import Deployment
from kodolly.operate.deployed import FILE, Deployed, DeployHistory, ServedCheckpoint
from tests.support.gateway_stack import TOKEN
from tests.support.improve_stage import staged
from tests.support.load import incomplete, load_until
from tests.support.operator_stack import Cluster, cluster
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import InProcess, in_process

ONE, TWO, THREE = (ServedCheckpoint(f"/runs/{n}") for n in ("one", "two", "three"))


def test_what_was_served_is_remembered_in_order(tmp_path: Path) -> None:
    deployed = Deployed(tmp_path / "state")
    assert deployed.of("돌리") == DeployHistory()
    history = DeployHistory().now(ONE).now(TWO).now(TWO)
    deployed.remember(
        "돌리", replace(history, canary=ServedCheckpoint("/runs/three", ("--max-model-len", "8")))
    )
    deployed.remember("다른 것", DeployHistory().now(THREE))
    found = Deployed(tmp_path / "state").of("돌리")
    assert (found.served, found.canary) == (
        (ONE, TWO),
        ServedCheckpoint("/runs/three", ("--max-model-len", "8")),
    )
    assert found.back() == DeployHistory((ONE,))
    assert (tmp_path / "state" / FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "state" / FILE).write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        deployed.of("돌리")


def test_what_is_remembered_of_many_names_at_once_is_all_there(tmp_path: Path) -> None:
    names = [f"모델 {n}" for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda name: Deployed(tmp_path).remember(name, DeployHistory().now(ONE)), names):
            pass
    assert all(Deployed(tmp_path).of(name).served == (ONE,) for name in names)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    with in_process(tmp_path) as running:
        running.worker("w1", ModelCard(name="돌리"))
        yield running


def wanted(name: str, checkpoint: str) -> Deployment:
    return Deployment(name, Path(checkpoint), None, (), 5.0, 5.0)


def test_a_canary_that_does_not_start_changes_nothing_and_one_is_enough(stack: InProcess) -> None:
    started: list[str] = []

    def run(asked: Deployment, *_: object) -> None:
        started.append(asked.name)
        if asked.checkpoint.name == "broken":
            raise UserError("The new worker failed.")
        stack.worker("w2", ModelCard(name=asked.name))

    site = Site(Controllers((stack.controller,), TOKEN), None, lambda _: None, run)
    for name, words in (("없는 것", "Nothing serves"), ("돌리", "The new worker failed")):
        with pytest.raises(UserError, match=words):
            deploy_for_some(site, wanted(name, "/runs/broken"), 10, "user")
    with pytest.raises(UserError, match="has no canary"):
        promote(site, "돌리", wanted("돌리", ""))
    with pytest.raises(UserError, match="No earlier checkpoint"):
        rollback(site, "돌리", wanted("돌리", ""))
    assert (site.snapshot().splits, site.deployed().of("돌리")) == ({}, DeployHistory())
    deploy_for_some(site, wanted("돌리", "/runs/two"), 10, "session")
    split = site.snapshot().splits["돌리"]
    assert [(arm.model, arm.buckets) for arm in split.arms] == [("돌리", 9000), ("돌리-canary", 1000)]
    assert site.deployed().of("돌리").canary == TWO
    with pytest.raises(UserError, match="traffic"):
        deploy_for_some(site, wanted("돌리", "/runs/three"), 10, "user")
    with pytest.raises(UserError, match="traffic"):
        deploy_for_all(site, wanted("돌리", "/runs/three"))
    assert started == ["돌리-canary", "돌리-canary"]


def test_a_canary_that_cannot_be_remembered_or_given_traffic_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with staged(tmp_path, monkeypatch) as stage:
        served = set(stage.workers)
        asked = wanted("돌리", str(stage.directory("second")))
        with monkeypatch.context() as disk, pytest.raises(UserError, match="No space left"):
            disk.setattr(Deployed, "_write", full)
            deploy_for_some(stage.site(), asked, 10, "user")
        assert (set(stage.workers), stage.site().snapshot().splits) == (served, {})
        tell = Site.tell

        def told_but_broken_off(site: Site, method: str, name: str, alias: Alias | None = None) -> None:
            tell(site, method, name, alias)
            if method == "PUT" and alias is not None and alias.split is not None:
                raise KeyboardInterrupt

        with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
            broken.setattr(Site, "tell", told_but_broken_off)
            deploy_for_some(stage.site(), asked, 10, "user")
        assert (set(stage.workers), stage.site().snapshot().splits) == (served, {})
        assert stage.site().deployed().of("돌리").canary is None


def test_an_alias_is_no_place_for_a_checkpoint_of_its_own(stack: InProcess) -> None:
    """The new worker would answer as the alias, and the model behind it would go on for nobody."""
    started: list[str] = []

    def run(asked: Deployment, *_: object) -> None:
        started.append(asked.name)

    site = Site(Controllers((stack.controller,), TOKEN), None, lambda _: None, run)
    site.tell("PUT", "채팅", Alias(target="돌리-1"))
    with pytest.raises(
        UserError, match=r"채팅 is another name of 돌리-1.*kodolly deploy 돌리-1.*alias --remove 채팅"
    ):
        deploy_for_all(site, wanted("채팅", "/runs/two"))
    stack.worker("w2", ModelCard(name="채팅"))  # a model's own name wins over an alias
    deploy_for_all(site, wanted("채팅", "/runs/two"))
    deploy_for_some(site, wanted("채팅", "/runs/three"), 10, "user")
    assert started == ["채팅", "채팅-canary"]
    assert [arm.model for arm in site.snapshot().splits["채팅"].arms] == ["채팅", "채팅-canary"]


def test_a_canary_of_one_machine_is_not_promoted_from_another_that_remembers_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rolled back and deployed anew elsewhere, it is another checkpoint than the first machine remembers."""
    with staged(tmp_path, monkeypatch) as stage:

        def at(machine: str) -> Site:
            monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / machine))
            return stage.site()

        def asked(checkpoint: str) -> Deployment:
            return wanted("돌리", str(stage.directory(checkpoint)))

        deploy_for_some(at("here"), asked("one"), 10, "user")
        with pytest.raises(UserError, match=r"is not known here.*Run this where it was deployed"):
            promote(at("there"), "돌리", asked("first"))
        rollback(at("there"), "돌리", asked("first"))
        deploy_for_some(at("there"), asked("two"), 10, "user")
        with pytest.raises(UserError, match=r"not deployed from here.*one.*kodolly deploy 돌리"):
            promote(at("here"), "돌리", asked("first"))
        assert stage.workers["돌리"].checkpoint == stage.checkpoint
        promote(at("there"), "돌리", asked("first"))
        assert {name: one.checkpoint for name, one in stage.workers.items()} == {
            "돌리": checkpoint_id(tmp_path / "two")
        }
        for checkpoint in ("three", "one"):
            deploy_for_all(at("here"), asked(checkpoint))
        deploy_for_all(at("there"), asked("four"))
        with pytest.raises(UserError, match=r"not deployed from here.*one"):
            rollback(at("here"), "돌리", asked("first"))
        deploy_for_all(at("here"), asked("five"))  # in the place of four, which nobody knows here
        with pytest.raises(UserError, match="No earlier checkpoint"):
            rollback(at("here"), "돌리", asked("first"))


def checkpoints(cluster: Cluster, users: int = 30) -> Counter[str]:
    """Checkpoint -> how many users' answers it gave."""
    found: Counter[str] = Counter()
    for user in range(users):
        body = {"model": "dolly", "messages": [{"role": "user", "content": "안녕"}], "user": f"user {user}"}
        answer = httpx2.post(
            f"{cluster.gateway}/v1/chat/completions", json=body | {"max_tokens": 2}, trust_env=False
        )
        found[answer.raise_for_status().headers["x-kodolly-checkpoint"]] += 1
    return found


@pytest.mark.slow
async def test_a_canary_is_promoted_and_taken_back_under_load_and_no_stream_breaks(tmp_path: Path) -> None:
    with cluster(tmp_path, controllers=1) as running:
        first, second = running.checkpoint("first", "v1"), running.checkpoint("second", "v2")
        flags = running.controller_flags()

        async def command(*args: str) -> str:
            ran = await asyncio.to_thread(running.command, *args, *flags)
            assert ran.returncode == 0, ran.stderr
            return ran.stderr

        await command("deploy", "dolly", str(first))
        await asyncio.to_thread(wait_for, lambda: running.ready("dolly") == 1, PATIENCE_S)
        (before,) = checkpoints(running, 3)
        done = asyncio.Event()
        loading = asyncio.create_task(load_until(done, running.gateway))
        try:
            await command("deploy", "dolly", str(second), "--share", "50")
            split = await asyncio.to_thread(checkpoints, running)
            (after,) = set(split) - {before}
            await command("promote", "dolly")
            promoted = await asyncio.to_thread(checkpoints, running)
            names = {card["name"] for worker in running.workers() for card in worker["models"]}  # type: ignore[attr-defined]
            await command("rollback", "dolly")
            back = await asyncio.to_thread(checkpoints, running)
        finally:
            done.set()
            outcomes = await loading
        await command("drain", "dolly")
    print(f"\nuntil canary, promotion and rollback were over: {len(outcomes)} streams, split {split}")
    assert 5 < split[after] < 25
    assert promoted == {after: 30}
    assert names == {"dolly"}
    assert back == {before: 30}
    assert incomplete(outcomes) == {}
