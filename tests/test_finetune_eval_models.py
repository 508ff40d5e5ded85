"""Evaluating a checkpoint and vLLM serving it gives the same scores. Slow: trains, starts vLLM."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from finetune.eval.report import EvalReport, read_report
from kodolly.cli import root
from tests.support import forked_vllm
from tests.support.evaluation_files import korquad_file, write_tables
from tests.support.own_task import download_kmmlu, write_task
from tests.support.processes import kodolly
from tests.support.real_data import KOBEST, real_data
from tests.support.tiny_training import make_base

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-NeoX that knows four of its eight rows by heart."""
    return make_base(tmp_path_factory.mktemp("eval"))


@pytest.fixture(scope="module")
def url(base: Path) -> Iterator[str]:
    """vLLM serving it as `tiny`."""
    with forked_vllm.served(base, base.parent / "vllm.log") as server:
        yield server


def evaluate(output: Path, *args: str) -> EvalReport:
    """`kodolly eval`, and its report."""
    ran = CliRunner().invoke(root, ["eval", *args, "--output", str(output)])
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return read_report(output)


IN_TURN = """
import json, sys
from kodolly.cli import root
for argv in json.load(sys.stdin):
    root.main(argv, standalone_mode=False)
"""


def evaluate_apart(folder: Path, *asked: list[str], home: Path | None = None) -> list[EvalReport]:
    """Several `kodolly eval` in one other process: lm-eval sets up log and seeds of the whole process, and to
    import it takes longer than to ask. home: the hub's directory on this machine."""
    outputs = [folder / f"{number}.json" for number in range(len(asked))]
    calls = [["eval", *args, "--output", str(output)] for args, output in zip(asked, outputs, strict=True)]
    argv = [sys.executable, "-c", IN_TURN]
    env = os.environ | ({"HF_HOME": str(home)} if home else {})
    ran = subprocess.run(argv, input=json.dumps(calls), capture_output=True, text=True, check=False, env=env)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [read_report(output) for output in outputs]


def figures(report: EvalReport) -> dict[tuple[str, str], Any]:
    return {(one.task, one.metric): pytest.approx(one.value, abs=2e-4) for one in report.scores}


def values(report: EvalReport) -> dict[tuple[str, str], float]:
    return {(one.task, one.metric): one.value for one in report.scores}


def test_kobest_scores_are_the_same_both_ways(base: Path, url: str, tmp_path: Path) -> None:
    # 256 tokens of context: with shots, both must cut the same tokens away.
    asked = ["--data", str(real_data(KOBEST)), "--shots", "2", "--limit", "20"]
    local, served = evaluate_apart(
        tmp_path,
        ["kobest", str(base), *asked],
        ["kobest", "tiny", "--url", url, "--tokenizer", str(base), *asked],
    )
    assert values(served) == figures(local)
    assert {one.task for one in local.scores} == {"boolq", "copa", "hellaswag", "sentineg", "wic"}
    assert [one.items for one in served.scores] == [one.items for one in local.scores]
    assert (local.source, served.source) == ("checkpoint", "served")
    assert any("come from the other items" in note for note in local.notes)
    assert any("lost their beginning" in note for note in local.notes)
    assert served.notes == local.notes


def test_rows_are_scored_the_same_both_ways(base: Path, url: str, tmp_path: Path) -> None:
    rows = base.parent / "rows.jsonl"
    asked = [str(rows), "--max-tokens", "24"]
    local = evaluate(tmp_path / "local.json", "rows", str(base), *asked)
    served = evaluate(
        tmp_path / "served.json", "rows", "tiny", *asked, "--url", url, "--tokenizer", str(base)
    )
    found = values(local)
    assert found["rows", "exact_match"] == 0.5  # four rows were learnt, four were held out
    assert found["rows", "stop_rate"] == 1.0
    assert {key: pytest.approx(value, rel=1e-3) for key, value in found.items()} == values(served)
    learnt = evaluate(tmp_path / "learnt.json", "rows", str(base), *asked, "--split", "base")
    assert values(learnt)["rows", "perplexity"] < 1.2 < found["rows", "perplexity"]


def test_a_task_of_ones_own_and_a_shipped_one_are_scored_the_same_both_ways(
    base: Path, url: str, tmp_path: Path
) -> None:
    asked = [*write_task(tmp_path), "--max-tokens", "24"]
    task = "kodolly_generated"  # what is ranked takes the same way as KoBEST
    shipped, limits = "kmmlu_direct_accounting", ["--shots", "1", "--max-tokens", "4"]
    limits += download_kmmlu(tmp_path / "hub")
    here, there, kmmlu, served_kmmlu = evaluate_apart(
        tmp_path,
        ["task", task, str(base), *asked],
        ["task", task, "tiny", "--url", url, *asked],
        ["task", shipped, str(base), *limits],
        ["task", shipped, "tiny", "--url", url, *limits],
        home=tmp_path,
    )
    assert [one.items for one in there.scores] == [one.items for one in here.scores]
    assert [one.items_hash for one in there.scores] == [one.items_hash for one in here.scores]
    # Of the rows that the base knows by heart; the fourth has another answer, which no budget makes right.
    assert values(here) == {(task, "exact_match"): 0.75}
    assert [sample.answer for sample in there.samples] == [sample.answer for sample in here.samples]
    # lm-eval's own code found its data in the hub's cache.
    assert kmmlu.settings["data"] == "hub"
    assert [(one.task, len(one.items)) for one in kmmlu.scores] == [(shipped, 8)]
    assert "test의 질문 1?\nA. A의 답 1\n" in kmmlu.samples[1].question
    assert "dev의 질문" in kmmlu.samples[1].question
    assert [sample.wanted for sample in kmmlu.samples] == list("ABCD" * 2)
    assert values(served_kmmlu) == values(kmmlu)
    assert [one.items_hash for one in served_kmmlu.scores] == [one.items_hash for one in kmmlu.scores]


def test_korquad_is_asked_through_the_chat_template(base: Path, url: str, tmp_path: Path) -> None:
    row = json.loads((base.parent / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])
    long = "가" * 600
    questions = korquad_file(
        tmp_path / "dev.json",
        [(row["instruction"], "짧은 글이다.", row["response"]), ("누가?", long, "가")],
    )
    asked = [str(questions), "--ask", "{question}"]
    local = evaluate(tmp_path / "local.json", "korquad", str(base), *asked)
    served = evaluate(tmp_path / "served.json", "korquad", "tiny", *asked, "--url", url)
    assert values(served) == figures(local)
    assert [sample.answer for sample in served.samples] == [sample.answer for sample in local.samples]
    assert local.notes == ["1 questions are longer than the model's context and count as wrong."]
    assert served.notes == local.notes


def test_more_shots_than_there_are_items_is_one_line(base: Path, tmp_path: Path) -> None:
    argv = kodolly("eval", "kobest", str(base), "--data", str(write_tables(tmp_path)), "--task", "boolq")
    ran = subprocess.run([*argv, "--shots", "5"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "holds too few items for 5 shots" in ran.stderr
    assert "Traceback" not in ran.stderr
