"""A gateway and a controller on which `kodolly improve` takes turns; engines, training and drained workers
are stand-ins."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from common.checkpoint_identity import checkpoint_id
from common.registry import ModelCard
from finetune.improve.measure import Measured
from kodolly.clients.controller_access import Controllers
from kodolly.improve import training
from kodolly.improve.journal import Options, journals
from kodolly.improve.plan import Prepared, Wanted, prepare
from kodolly.improve.turn import Taking, begin, lock_of, take
from kodolly.operate.canary import Site
from kodolly.operate.deploy import Deployment
from kodolly.operate.deployed import DeployHistory, ServedCheckpoint
from tests.support.gateway_stack import TOKEN
from tests.support.judgements import answer, rating, vote
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import InProcess, Worker, in_process
from tests.support.tuned_card import CARD

PROVIDER = {
    "name": "provider",
    "base_url": "http://127.0.0.1:9/v1",
    "key_env": "PROVIDERS_KEY",
    "models": ["chatgpt"],
}
ADMIN_TOKEN = "the-admin-token"
OPTIONS = Options(share=50, days=1, max_longer=0.5, max_forgotten=0.05, max_task_loss=0.02)


@dataclass
class Stage:
    """A served model and people who judge it; engines, training and drained workers are stand-ins."""

    stack: InProcess
    path: Path
    client: httpx2.Client
    workers: dict[str, Worker] = field(default_factory=dict)
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
        card = ModelCard(name=name, checkpoint=checkpoint)
        self.workers[name] = self.stack.worker(f"w-{uuid.uuid4()}", card)

    def drop(self, names: list[str]) -> None:
        """In place of draining: these leave at once."""
        for name in names:
            if (worker := self.workers.pop(name, None)) is not None:
                worker.lease.close()
                member = worker.member
                httpx2.delete(
                    f"{member.controller}/v1/workers/{member.registration.worker_id}",
                    params={"incarnation": member.registration.incarnation},
                    headers={"authorization": f"Bearer {TOKEN}"},
                    trust_env=False,
                ).raise_for_status()
                wait_for(lambda name=name: not self.stack.is_ready(name), PATIENCE_S, what="its end")  # type: ignore[misc]

    def say(self, path: str, body: dict[str, Any]) -> None:
        self.client.put(f"/v1/feedback/{path}/{uuid.uuid4()}", json=body).raise_for_status()

    def correct(self, count: int, first: int = 0, rater: str | None = None) -> None:
        """So many questions get a bad mark and a correction."""
        who = {} if rater is None else {"rater_id": rater}
        for n in range(first, first + count):
            given = answer("돌리", "모릅니다.", f"{n} 다음 수는?", checkpoint=self.checkpoint)
            self.say("ratings", rating(1, given) | {"correction": f"{n + 1}입니다."} | who)

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


@contextlib.contextmanager
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """One model is served, and nobody has said anything yet."""
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PROVIDERS_KEY", "any")
    monkeypatch.chdir(tmp_path)
    with (
        in_process(tmp_path, admin_token=ADMIN_TOKEN, feedback_held_out=0.3, external=(PROVIDER,)) as stack,
        httpx2.Client(base_url=stack.gateway, trust_env=False) as client,
    ):
        made = Stage(stack, tmp_path, client)
        first = made.directory("first")
        made.checkpoint = checkpoint_id(first)
        made.serve("돌리", made.checkpoint)
        made.site().deployed().remember("돌리", DeployHistory((ServedCheckpoint(str(first)),)))

        def drained(_: object, leaving: list[Any], *__: object) -> None:
            made.drop([card.name for record in leaving for card in record.models])

        monkeypatch.setattr("kodolly.operate.canary.drain_workers", drained)
        monkeypatch.setattr("kodolly.improve.canary.drain_workers", drained)
        yield made


def at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
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
