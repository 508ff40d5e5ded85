"""`kodolly improve` where it does not deploy itself, and where it finds the checkpoint."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.registry import Snapshot
from kodolly.cli import root
from kodolly.clients.controller_access import Controllers
from kodolly.improve import canary
from kodolly.improve.journal import journals
from kodolly.improve.plan import TooLittle, prepare
from kodolly.improve.turn import WAITING
from kodolly.operate.canary import Site
from tests.support.gateway_stack import TOKEN
from tests.support.improve_stage import Stage, at_once, staged, taken
from tests.support.judgements import answer, rating


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def trained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return at_once(stage, monkeypatch)


def test_without_a_canary_feedback_is_used_once_the_checkpoint_serves(
    stage: Stage, trained: list[str]
) -> None:
    def improve(checkpoint: Path) -> int:
        words = ["improve", "돌리", "--no-deploy", "--checkpoint", str(checkpoint)]
        return CliRunner().invoke(root, [*words, "--gateway", stage.stack.gateway]).exit_code

    def used() -> list[Any]:
        return [row["used_in"] for row in stage.stack.get("/v1/feedback/ratings?limit=100")["data"]]

    stage.correct(50)
    assert improve(stage.path / "first") == 0
    assert improve(stage.path / "first") == 3
    (journal,) = journals(stage.path / "runs")
    assert (journal.content.decision, any(used())) == ("ready", False)
    stage.drop(["돌리"])
    stage.serve("돌리", str(journal.content.steps["merge"]))
    assert improve(journal.directory / "checkpoint") == 3
    (journal,) = journals(stage.path / "runs")
    assert journal.content.decision == "promoted"
    assert 30 <= used().count(["improve-1"]) < 50


def test_a_turn_with_a_canary_goes_on_with_it_whatever_is_said_of_deploying(
    stage: Stage, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for a turn without one, and ended; the canary answered people ever after."""
    monkeypatch.setenv("KODOLLY_JOIN_TOKEN", TOKEN)
    stage.correct(50)
    assert taken(stage) == WAITING
    words = ["improve", "돌리", "--no-deploy", "--unattended", "--gateway", stage.stack.gateway]
    done = CliRunner().invoke(root, [*words, "--controller", stage.stack.controller])
    assert done.exit_code == WAITING, done.output
    (journal,) = journals(stage.path / "runs")
    assert journal.content.decision is None
    assert list(stage.site().snapshot().splits) == ["돌리"]


def test_a_clock_that_jumps_takes_no_canary_for_dead(
    stage: Stage, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is away for a moment, in which the machine's clock is set to another day."""
    stage.correct(50)
    assert taken(stage) == WAITING
    (journal,) = journals(stage.path / "runs")
    made = str(journal.content.steps["merge"])
    stage.drop(["돌리-canary"])
    days, looks = iter([0.0, 0.4, 0.8]), iter(["away", "away", "back"])
    began = time.time()

    def sleep(_: float) -> None:
        if next(looks) == "back":
            stage.serve("돌리-canary", made)

    found = canary.watch(
        journal, stage.site(), wait=False, sleep=sleep, now=lambda: began + 86400 * next(days, 0.9)
    )
    assert found is None


def test_the_demos_checkpoint_is_known(stage: Stage) -> None:
    model = stage.directory("state/demo/demo-dolly-1")
    (stage.path / "state" / "demo" / "demo-dolly").symlink_to(model.name)
    stage.serve("demo-dolly", checkpoint_id(model))
    given = answer("demo-dolly", "답", checkpoint=checkpoint_id(model))
    stage.say("ratings", rating(1, given))
    with pytest.raises(TooLittle, match="held-out"):
        prepare(stage.wanted(name="demo-dolly"), stage.site())


@dataclass(frozen=True)
class Elsewhere(Site):
    """The workers are on other machines; so is the controller, with `asked` in its place."""

    host: str = "192.0.2.7"
    asked: Controllers | None = None

    def snapshot(self) -> Snapshot:
        found = (self.asked or self.controllers).snapshot()
        moved = [one.model_copy(update={"url": f"http://{self.host}:21002"}) for one in found.workers]
        return found.model_copy(update={"workers": tuple(moved)})


def test_what_other_machines_serve_is_not_taken_away_from_them(stage: Stage) -> None:
    stage.correct(12)
    here = stage.site()

    def site(host: str) -> Site:
        return Elsewhere(here.controllers, here.config, here.say, host=host)

    with pytest.raises(UserError, match=r"served on 192\.0\.2\.7, not on this machine.*--no-deploy"):
        prepare(stage.wanted(), site("192.0.2.7"))
    with pytest.raises(UserError, match="not on this machine"):
        prepare(stage.wanted(), site("no-such-host.invalid"))
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(TooLittle):
            prepare(stage.wanted(), site(host))
    with pytest.raises(TooLittle):
        prepare(stage.wanted(checkpoint=stage.path / "first"), None)
    # A loopback address is on the machine of the controller that lists it, not on whoever's asks.
    away = Controllers(("http://192.0.2.1:21001",), TOKEN)
    with pytest.raises(UserError, match=r"served on 192\.0\.2\.1, not on this machine"):
        prepare(stage.wanted(), Elsewhere(away, None, here.say, host="127.0.0.1", asked=here.controllers))


def test_a_canary_that_others_could_not_reach_is_refused_before_the_training(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that serves listens on every address of this machine, a new one would on 127.0.0.1."""
    stage.correct(12)
    here = stage.site()
    open_to_all = Elsewhere(here.controllers, here.config, here.say, host="0.0.0.0")
    with pytest.raises(UserError, match=r"at 127\.0\.0\.1: only this machine.*KODOLLY_WORKER_HOST"):
        prepare(stage.wanted(), open_to_all)
    monkeypatch.setenv("KODOLLY_WORKER_HOST", "0.0.0.0")
    with pytest.raises(UserError, match="--advertise-url"):
        prepare(stage.wanted(), open_to_all)
    monkeypatch.setenv("KODOLLY_WORKER_ADVERTISE_URL", "http://192.0.2.9:21002")
    with pytest.raises(TooLittle):
        prepare(stage.wanted(), open_to_all)
