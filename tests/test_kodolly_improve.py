"""`kodolly improve` against a gateway and a controller: what it refuses, decides and goes on with."""

import contextlib
import errno
import json
import os
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from common.checkpoint import DataSource
from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.registry import ModelCard
from finetune.data.from_feedback import write_training
from finetune.improve.measure import Measured
from finetune.models.adapter import ADAPTER_FILE, AdapterCard
from kodolly.cli import root
from kodolly.improve import canary, training
from kodolly.improve.cost import training_time
from kodolly.improve.journal import journals, read_journal
from kodolly.improve.plan import TooLittle, prepare
from kodolly.improve.telling import tell_gateway
from kodolly.improve.turn import WAITING, Taking, begin, lock_of, take
from kodolly.operate.canary import rollback
from kodolly.operate.deploy import Deployment
from tests.support.improve_stage import ADMIN_TOKEN, OPTIONS, Stage, at_once, staged, taken
from tests.support.judgements import answer, rating
from tests.support.tuned_card import CARD


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def trained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return at_once(stage, monkeypatch)


def test_a_turn_cannot_begin_where_it_could_not_end(stage: Stage) -> None:
    def refused(words: str, kind: type[UserError] = UserError, **more: Any) -> None:
        with pytest.raises(kind, match=words):
            prepare(stage.wanted(**more), stage.site())

    refused("knows no model", name="없는 것")
    refused("provider's model", name="chatgpt")
    refused("Nobody has judged", TooLittle)
    other = answer("다른 것", "답", checkpoint="0123456789ab")
    stage.say("ratings", rating(1, other))
    refused("Nobody has judged", TooLittle)
    stage.correct(12)
    refused(r"\d+ more (corrected|held-out)", TooLittle)
    refused("is not the checkpoint", checkpoint=stage.directory("second"))
    (stage.path / "first" / "kodolly.json").unlink()
    refused("lies is not known here")
    stage.stack.worker("w2", ModelCard(name="붙인 것"))
    refused("Which checkpoint answers", name="붙인 것")
    bare = stage.directory("bare")
    (bare / "kodolly.json").unlink()
    (bare / "model.safetensors").write_bytes(b"\0" * 16)
    stage.stack.worker("w3", ModelCard(name="카드 없음", checkpoint=checkpoint_id(bare)))
    refused("has no kodolly.json", name="카드 없음", checkpoint=bare)
    assert not (stage.path / "runs").exists()


def test_a_full_disk_leaves_nothing_and_the_turn_begins_when_there_is_room(
    stage: Stage, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.correct(50)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("finetune.improve.rows.write_training", full)
        with pytest.raises(UserError, match="(?i)no space|full"):
            taken(stage)
        assert not list((stage.path / "runs").glob("*improve-*"))
    assert taken(stage) == WAITING
    (journal,) = journals(stage.path / "runs")
    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", full)
        with pytest.raises(UserError, match="cannot be written"):
            journal.done("more", 1)
    assert "more" not in read_journal(journal.directory).content.steps


def test_raters_who_contradict_each_other_teach_nothing(stage: Stage) -> None:
    for n in range(60):
        for score in (1, 5):
            given = answer("돌리", "답", f"질문 {n}", checkpoint=stage.checkpoint)
            stage.say("ratings", rating(score, given) | {"rater_id": f"{score}"})
    with pytest.raises(TooLittle, match="raters disagree"):
        stage.prepared()


def test_what_was_left_out_later_is_not_replayed(stage: Stage) -> None:
    stage.correct(50)
    row = next(one for one in stage.prepared().rows.made.rows if one.meta["from"] == "correction")
    other = row.model_copy(update={"instruction": "다른 것", "meta": {"id": "1"}})
    write_training([row, other], stage.path / "old.jsonl")
    admin = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    listed = stage.client.get("/v1/feedback/ratings?limit=100", headers=admin).json()["data"]
    (key,) = (one["key_id"] for one in listed if one["id"] == row.meta["id"])
    review = {"seen": {}, "wanted": {"excluded": True}}
    path = f"/admin/feedback/ratings/{key}/{row.meta['id']}"
    stage.correct(10, first=50)
    stage.client.put(path, json=review, headers=admin).raise_for_status()
    rows = prepare(stage.wanted(replay=stage.path / "old.jsonl"), stage.site()).rows
    assert [one.instruction for one in rows.replay] == ["다른 것"]
    assert row.instruction not in {one.instruction for one in rows.made.rows}


def test_a_better_checkpoint_is_promoted_and_its_feedback_marked(stage: Stage, trained: list[str]) -> None:
    stage.correct(50)
    assert taken(stage) == WAITING
    assert trained == ["adapter", "checkpoint", "before.json", "after.json"]
    stage.vote(5, new=True)
    assert taken(stage) == WAITING
    stage.vote(10, new=True, first=5)
    assert taken(stage) == 0
    (journal,) = journals(stage.path / "runs")
    place = str(journal.directory / "checkpoint")
    assert journal.content.decision == "promoted"
    assert stage.site().deployed().of("돌리").served[-1].checkpoint == place
    assert set(stage.workers) == {"돌리"}
    assert stage.site().snapshot().splits == {}
    used = [row["used_in"] for row in stage.stack.get("/v1/feedback/ratings?limit=100")["data"]]
    assert 30 <= used.count(["improve-1"]) < 50
    new = journal.content.steps["merge"]
    shown = CliRunner().invoke(root, ["models", "--lineage", "--gateway", stage.stack.gateway])
    assert shown.output.splitlines() == [
        f"{stage.checkpoint}  {stage.path / 'first'}",
        f"└─ {new}  improve-1, lora: promoted ({journal.content.words})  <- serves 돌리",
    ]
    page = (journal.directory / "report.html").read_text(encoding="utf-8")
    assert "promoted" in page
    assert "<script" not in page
    assert trained == ["adapter", "checkpoint", "before.json", "after.json"]


def test_who_is_forgotten_is_not_trained_on_again(stage: Stage, trained: list[str]) -> None:
    stage.correct(40)
    stage.correct(20, first=40, rater="민수")
    assert taken(stage) == WAITING
    stage.vote(15, new=True)
    assert taken(stage) == 0
    (journal,) = journals(stage.path / "runs")
    stage.checkpoint = str(journal.content.steps["merge"])
    stage.correct(60, first=60)
    theirs = {f"{n} 다음 수는?" for n in range(40, 60)}
    before = {row.instruction for row in stage.prepared().rows.replay}
    assert before & theirs
    assert before - theirs
    for gone in (True, False):
        done = stage.client.delete("/v1/feedback/raters/민수").raise_for_status().json()
        assert bool(done["ratings"]) is gone
        assert {row.instruction for row in stage.prepared().rows.replay} == before - theirs


def test_the_time_of_a_training_is_that_of_the_last_one(stage: Stage, trained: list[str]) -> None:
    stage.correct(50)
    first = stage.prepared()
    assert "not known: no turn here has trained by lora" in training_time(first, 100, [])
    with lock_of(stage.path / "runs"):
        turn = begin(first, OPTIONS, stage.path / "runs")
    assert "not known" in training_time(first, 100, [turn])
    learnt = CARD.model_copy(
        update={
            "data": [DataSource(path="rows.jsonl", sha256="", rows=50)],
            "recipe": {"epochs": 4},
            "metrics": {"train_seconds": 100.0},
        }
    )
    (turn.directory / "adapter").mkdir()
    file = turn.directory / "adapter" / ADAPTER_FILE
    file.write_text(AdapterCard(base="", base_sha256="", card=learnt, probes=[]).model_dump_json())
    epochs = json.loads((turn.directory / "recipe.yaml").read_text())["epochs"]
    told = training_time(first, 20, [turn])
    assert told == f"about {10 * epochs} s of training, at the 2.0 rows/s of improve-1"


def test_one_that_people_like_less_is_withdrawn(stage: Stage, trained: list[str]) -> None:
    stage.correct(50)
    assert taken(stage) == WAITING
    stage.vote(15, new=False)
    assert taken(stage) == canary.WITHDRAWN
    assert stage.site().deployed().of("돌리").served[-1].checkpoint == str(stage.path / "first")
    assert set(stage.workers) == {"돌리"}


def test_a_refused_turn_ends_with_its_gates_exit_code(
    stage: Stage, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.correct(50)
    lines: list[str] = []
    with lock_of(stage.path / "runs") as lock:
        journal = begin(stage.prepared(), OPTIONS, stage.path / "runs")
        tell_gateway(journal, "train", lines.append)
        assert "takes an admin key" in lines[-1]
        monkeypatch.setenv("KODOLLY_ADMIN_TOKEN", ADMIN_TOKEN)
        held = (journal.directory / "held-out.jsonl").read_text().splitlines()
        monkeypatch.setattr(
            training, "measured", lambda _: (_measure(0, "짧", len(held)), _measure(2, "길다", len(held)))
        )
        code = take(journal, Taking(stage.site(), lines.append, False, lock))
    assert code == 13
    assert any("NOT PASSED length" in line for line in lines)
    (told,) = stage.stack.get("/admin/turns", authorization=f"Bearer {ADMIN_TOKEN}")["data"]
    assert (told["model"], told["turn"], told["step"], told["decision"]) == (
        "돌리",
        "improve-1",
        None,
        "refused",
    )
    assert {gate["name"]: gate["passed"] for gate in told["gates"]}["length"] is False
    assert told["words"].startswith("gate length")
    assert stage.site().snapshot().splits == {}
    with pytest.raises(TooLittle, match="has tried this feedback"):
        stage.prepared()


def _measure(margin: float, text: str, pairs: int = 0) -> Measured:
    return Measured(
        better=[margin] * pairs, worse=[0.0] * pairs, answers=[text], finished=[True], old_rows=[]
    )


def test_a_canary_whose_worker_died_or_that_somebody_ended_goes(
    stage: Stage, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.correct(50)
    assert taken(stage) == WAITING
    stage.drop(["돌리-canary"])
    monkeypatch.setattr(canary, "GONE_S", 0.0)
    monkeypatch.setattr(canary, "LOOK_EVERY_S", 0.01)
    assert taken(stage) == canary.DIED
    assert stage.site().snapshot().splits == {}
    stage.correct(20, first=50)
    assert taken(stage) == WAITING
    rollback(stage.site(), "돌리", Deployment("돌리", Path(), None, (), 5.0, 5.0))
    assert taken(stage) == canary.BY_HAND
    assert [one.content.decision for one in journals(stage.path / "runs")] == ["withdrawn"] * 2


class Killed(BaseException):
    """As SIGKILL: nothing behind it runs."""


class Deaths:
    """Kills once at each distinct call of what it wraps: before the call does anything, or after it did."""

    def __init__(self, after: bool) -> None:
        self.after = after
        self.died: set[str] = set()

    def wrap(self, act: Callable[..., Any], key: Callable[..., str]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            name = f"{act.__name__} {key(*args, **kwargs)}"
            dies = name not in self.died
            self.died.add(name)
            if dies and not self.after:
                raise Killed
            result = act(*args, **kwargs)
            if dies:
                raise Killed
            return result

        return call


@pytest.mark.parametrize(("after", "better"), [(False, True), (True, True), (True, False)])
def test_killed_anywhere_it_goes_on_to_the_same_decision(
    stage: Stage, trained: list[str], monkeypatch: pytest.MonkeyPatch, after: bool, better: bool
) -> None:
    stage.correct(50)
    deaths = Deaths(after)
    doors: tuple[tuple[str, Callable[..., str]], ...] = (
        ("kodolly.improve.journal.write_json", lambda _, content: str(list(content["at"]))),
        ("kodolly.operate.deployed.Deployed.remember", lambda _, name, history: f"{name} {history}"),
        ("kodolly.operate.canary.Site.tell", lambda *args: str(args[1:])),
        ("kodolly.operate.canary.drain_workers", lambda *_: "in operate"),
        ("kodolly.improve.turn.mark_used", lambda *_: ""),
        ("kodolly.improve.turn.write_report", lambda *_: ""),
    )
    for place, key in doors:
        monkeypatch.setattr(place, deaths.wrap(pkgutil.resolve_name(place), key))
    code, lives, voted = None, 0, False
    while not any(one.content.decision for one in journals(stage.path / "runs")):
        lives += 1
        assert lives < 40, deaths.died
        with contextlib.suppress(Killed):
            code = taken(stage)
        if code == WAITING and not voted:
            stage.vote(15, new=better)
            voted = True
    assert lives > 12
    (journal,) = journals(stage.path / "runs")
    served = {name: running.checkpoint for name, running in stage.workers.items()}
    new = journal.content.steps["merge"]
    assert journal.content.decision == ("promoted" if better else "withdrawn")
    assert served == {"돌리": new if better else stage.checkpoint}
    assert stage.site().snapshot().splits == {}
    assert stage.site().deployed().of("돌리").canary is None
    assert trained == ["adapter", "checkpoint", "before.json", "after.json"]


def test_a_broken_journal_is_one_line(stage: Stage) -> None:
    directory = stage.path / "runs" / "improve-1"
    directory.mkdir(parents=True)
    (directory / "journal.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(UserError, match="cannot be read"):
        list(journals(stage.path / "runs"))
