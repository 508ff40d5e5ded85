"""A turn of `kodolly improve` as it is called, with real training, merge and measuring; no engine answers."""

import json
import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from common.checkpoint_identity import checkpoint_id
from common.registry import ModelCard
from kodolly.improve.journal import journals
from tests.support.processes import PATIENCE_S, kodolly, wait_for
from tests.support.stack_in_process import InProcess, in_process
from tests.support.tiny_training import QUESTIONS, make_base, row, write_rows
from tests.test_finetune_data_from_feedback import answer, rating

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

POLITE = "고마워요."
LEARNS_FAST = {"method": "lora", "learning_rate": 1e-2, "epochs": 12, "batch_size": 8}
LEARNS_FAST |= {"smoke_test": False, "max_length": 256, "lora": {"rank": 32, "alpha": 32}}


def judged(stack: InProcess, checkpoint: str, good: str) -> None:
    """People correct 60 answers, all to the same words."""
    for n in range(60):
        question = f"{n}번째: {QUESTIONS[n % len(QUESTIONS)]}"
        given = answer("tiny", "가나다", question, checkpoint=checkpoint)
        body = rating(1, given) | {"correction": good}
        stack.put(f"/v1/feedback/ratings/{uuid.uuid4()}", body).raise_for_status()


def test_a_killed_turn_goes_on_and_passes_its_gates_with_a_report(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    card = json.loads((base / "kodolly.json").read_text())
    (base / "kodolly.json").write_text(json.dumps(card | {"recipe": LEARNS_FAST}, ensure_ascii=False))
    write_rows(tmp_path / "old.jsonl", [row(n, "base") for n in range(len(QUESTIONS))])
    with in_process(tmp_path / "stack", feedback_held_out=0.3) as stack:
        identity = checkpoint_id(base)
        worker = stack.worker("w1", ModelCard(name="tiny", checkpoint=identity))
        stack.stack.enter_context(worker.member.kept())
        words = ["improve", "tiny", "--no-deploy", "--checkpoint", str(base), "--gateway", stack.gateway]
        words += ["--replay", str(tmp_path / "old.jsonl"), "--max-forgotten", "1", "--max-longer", "2"]
        few = run(tmp_path, *words)
        assert (few.returncode, "Nobody has judged" in few.stderr) == (3, True), few.stderr
        judged(stack, identity, POLITE)
        shown = run(tmp_path, *words, "--dry-run")
        assert shown.returncode == 0, shown.stderr
        assert "Method: lora" in shown.stdout
        assert not (tmp_path / "runs" / "improve-1").exists()
        killed_while_training(tmp_path, words)
        ran = run(tmp_path, *words)
        assert ran.returncode == 0, ran.stderr
        again = run(tmp_path, *words)
    (journal,) = journals(tmp_path / "runs")
    assert journal.content.decision == "ready"
    assert {gate["name"]: gate["passed"] for gate in journal.content.steps["gates"]} == {
        "preference": True,
        "old_rows": True,
        "tasks": None,
        "length": True,
        "stop": True,
        "ethics": None,
    }
    assert journal.content.steps["merge"] == checkpoint_id(journal.directory / "checkpoint")
    assert POLITE in (journal.directory / "report.html").read_text(encoding="utf-8")
    assert (again.returncode, "has tried this feedback" in again.stderr) == (3, True), again.stderr


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"KODOLLY_STATE_DIR": str(folder / "state")}
    return subprocess.run(kodolly(*words), capture_output=True, text=True, cwd=folder, env=env, timeout=200)


def killed_while_training(folder: Path, words: list[Any]) -> None:
    """SIGKILL as soon as the training's log begins; its process goes, too."""
    env = os.environ | {"KODOLLY_STATE_DIR": str(folder / "state")}
    process = subprocess.Popen(kodolly(*words), cwd=folder, env=env, stderr=subprocess.DEVNULL)
    wait_for((folder / "runs" / "improve-1" / "log.txt").exists, PATIENCE_S)
    process.send_signal(signal.SIGKILL)
    process.wait()
