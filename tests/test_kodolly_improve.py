"""`kodolly improve` against a gateway and a controller: what it refuses, decides and goes on with."""

import contextlib
import errno
import json
import os
import pkgutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.registry import ModelCard
from finetune.improve.measure import Measured
from kodolly.cli import root
from kodolly.clients.controller_access import Controllers
from kodolly.improve import canary, training
from kodolly.improve.journal import Options, journals, read_journal
from kodolly.improve.plan import Prepared, TooLittle, Wanted, prepare
from kodolly.improve.turn import WAITING, Taking, begin, lock_of, take
from kodolly.operate.canary import Site, rollback
from kodolly.operate.deploy import Deployment
from kodolly.operate.deployed import History, Served
from tests.support.gateway_stack import TOKEN
from tests.support.stack_in_process import InProcess, Worker, in_process
from tests.test_finetune_data_from_feedback import answer, rating, vote
from tests.test_finetune_improve import CARD

PROVIDER = {
    "name": "provider",
    "base_url": "http://127.0.0.1:9/v1",
    "key_env": "PROVIDERS_KEY",
    "models": ["chatgpt"],
}
OPTIONS = Options(share=50, days=1, max_longer=0.5, max_forgotten=0.05, max_task_loss=0.02)


@dataclass(frozen=True)
class Running:
    """A worker that keeps its lease."""

    worker: Worker
    lease: ExitStack

    @property
    def checkpoint(self) -> str | None:
        return self.worker.member.registration.models[0].checkpoint


@dataclass
class Stage:
    """A served model and people who judge it; engines, training and drained workers are stand-ins."""

    stack: InProcess
    path: Path
    client: httpx2.Client
    workers: dict[str, Running] = field(default_factory=dict)
    checkpoint: str = ""

    def directory(self, name: str) -> Path:
        made = self.path / name
        made.mkdir(parents=True, exist_ok=True)
        (made / "config.json").write_text("{}")
        (made / "kodolly.json").write_text(CARD.model_copy(update={"name": name}).model_dump_json())
        return made

    def site(self) -> Site:
        return Site(Controllers((self.stack.controller,), TOKEN), None, lambda _: None, self.run)

    def run(self, asked: Deployment, *_: object) -> None:
        """In place of starting a worker with vLLM."""
        self.drop([asked.name])
        self.serve(asked.name, checkpoint_id(asked.checkpoint))

    def serve(self, name: str, checkpoint: str) -> None:
        """From now on, until it is dropped."""
        worker = self.stack.worker(f"w-{uuid.uuid4()}", ModelCard(name=name, checkpoint=checkpoint))
        lease = self.stack.stack.enter_context(ExitStack())
        lease.enter_context(worker.member.kept())
        self.workers[name] = Running(worker, lease)

    def drop(self, names: list[str]) -> None:
        """In place of draining: these leave at once."""
        for name in names:
            if (worker := self.workers.pop(name, None)) is not None:
                worker.lease.close()
                member = worker.worker.member
                httpx2.delete(
                    f"{member.controller}/v1/workers/{member.registration.worker_id}",
                    params={"incarnation": member.registration.incarnation},
                    headers={"authorization": f"Bearer {TOKEN}"},
                    trust_env=False,
                ).raise_for_status()

    def say(self, path: str, body: dict[str, Any]) -> None:
        self.client.put(f"/v1/feedback/{path}/{uuid.uuid4()}", json=body).raise_for_status()

    def correct(self, count: int, first: int = 0) -> None:
        """So many questions get a bad mark and a correction."""
        for n in range(first, first + count):
            given = answer("돌리", "모릅니다.", f"{n} 다음 수는?", checkpoint=self.checkpoint)
            self.say("ratings", rating(1, given) | {"correction": f"{n + 1}입니다."})

    def wanted(self, **more: Any) -> Wanted:
        usual = Wanted("돌리", self.stack.gateway, self.path / "runs", None, replay=None, replay_share=1.0)
        return replace(usual, **more)

    def prepared(self) -> Prepared:
        return prepare(self.wanted(), self.site())

    def vote(self, count: int, *, new: bool, first: int = 0) -> None:
        """Blind votes between both checkpoints, each of somebody else."""
        (journal,) = [one for one in journals(self.path / "runs") if one.content.decision is None]
        other = str(journal.content.steps["merge"])
        for n in range(first, first + count):
            left = answer("돌리", "옛 답", f"질문 {n}", checkpoint=self.checkpoint)
            right = answer("돌리-canary", "새 답", f"질문 {n}", checkpoint=other)
            self.say("votes", vote("right" if new else "left", left, right) | {"rater_id": f"사람 {n}"})


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PROVIDERS_KEY", "any")
    monkeypatch.chdir(tmp_path)
    with (
        in_process(tmp_path, feedback_held_out=0.3, external=(PROVIDER,)) as stack,
        httpx2.Client(base_url=stack.gateway, trust_env=False) as client,
    ):
        made = Stage(stack, tmp_path, client)
        first = made.directory("first")
        made.checkpoint = checkpoint_id(first)
        made.serve("돌리", made.checkpoint)
        made.site().deployed().remember("돌리", History((Served(str(first)),)))

        def drained(_: object, leaving: list[Any], *__: object) -> None:
            made.drop([card.name for record in leaving for card in record.models])

        monkeypatch.setattr("kodolly.operate.canary.drain_workers", drained)
        monkeypatch.setattr("kodolly.improve.canary.drain_workers", drained)
        yield made


@pytest.fixture
def trained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training that is over at once; the processes that were started."""
    started: list[str] = []

    def run(arguments: list[str], directory: Path, _lock: int) -> None:
        started.append(arguments[-1])
        if arguments[-1] in (training.ADAPTER, training.CHECKPOINT):
            stage.directory(str(directory.relative_to(stage.path) / arguments[-1]))
            return
        held_out = (directory / "held-out.jsonl").read_text().splitlines()
        after = arguments[-1] == training.AFTER
        measured = Measured(
            better=[float(after)] * len(held_out),
            worse=[0.0] * len(held_out),
            answers=["답"] * len((directory / "questions.jsonl").read_text().splitlines()),
            finished=[True],
            old_rows=[],
        )
        (directory / arguments[-1]).write_text(measured.model_dump_json())

    monkeypatch.setattr(training, "_run", run)
    return started


def taken(stage: Stage, wait: bool = False, lines: list[str] | None = None) -> int:
    """Go on with the open turn, or begin one."""
    runs = stage.path / "runs"
    with lock_of(runs) as lock:
        left = [one for one in journals(runs) if one.content.decision is None]
        journal = left[0] if left else begin(stage.prepared(), OPTIONS, runs)
        say = (lines if lines is not None else []).append
        return take(journal, Taking(stage.site(), say, wait, lock))


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
        held = (journal.directory / "held-out.jsonl").read_text().splitlines()
        monkeypatch.setattr(
            training, "measured", lambda _: (_measure(0, "짧", len(held)), _measure(2, "길다", len(held)))
        )
        code = take(journal, Taking(stage.site(), lines.append, False, lock))
    assert code == 13
    assert any("NOT PASSED length" in line for line in lines)
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
