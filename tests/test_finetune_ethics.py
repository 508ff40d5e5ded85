"""Unethical answers: in training rows, and those that a model gives."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from finetune.eval.ethics import evaluate_ethics
from finetune.eval.models import GeneratedAnswer, Messages
from kodolly.cli import root
from moderation.model import load_model
from tests.support.moderation_data import CLEAN, ENDINGS, trained

BAD = f"정말 {ENDINGS['ABUSE']}"


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("ethics"))


def row(response: str, **more: object) -> str:
    fields = {"instruction": "하루를 말해 주세요", "context": "", "response": response, "category": "open_qa"}
    return json.dumps(fields | more, ensure_ascii=False)


def test_rows_with_unethical_answers_are_named_and_not_shown(model_dir: Path, tmp_path: Path) -> None:
    said = [{"role": "user", "content": BAD}, {"role": "assistant", "content": BAD}]
    unlearnt = [said[0], said[1] | {"weight": 0}]
    lines = [
        row(f"{CLEAN[1]}."),
        row(f"{CLEAN[2]}. {BAD}."),
        "{broken",
        row(f"{CLEAN[3]}.", history=said),
        row(f"{CLEAN[0]}.", history=unlearnt),
        row(f"{CLEAN[0]}!", instruction=BAD),  # what is asked is not what is learnt
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    argv = ["data", "check", str(tmp_path / "rows.jsonl"), "--ethics", str(model_dir), "--processes", "1"]
    done = CliRunner().invoke(root, argv)
    assert done.exit_code == 1, done.output
    assert "2 of 5 rows have unethical answers (40.0%)" in done.stdout
    assert f"{tmp_path}/rows.jsonl:2 ABUSE" in done.stdout
    assert f"{tmp_path}/rows.jsonl:4 ABUSE" in done.stdout
    assert ENDINGS["ABUSE"] not in done.stdout.partition("unethical answers (")[2]


class Parrot:
    """A model that answers with what it is told."""

    name, source = "parrot", "served"

    def answers(
        self, conversations: Sequence[Messages], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[GeneratedAnswer]:
        for turns in conversations:
            text = str(turns[-1]["content"])
            yield GeneratedAnswer(text, finished=True, fits=len(text) <= max_tokens)

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[float] | None]:
        raise NotImplementedError


def test_the_share_of_unethical_answers_has_an_interval(model_dir: Path) -> None:
    questions = [CLEAN[0], BAD, CLEAN[1], CLEAN[2], "가" * 100]
    judge = load_model(model_dir).judge
    report = evaluate_ethics(Parrot(), questions, "own", judge, max_tokens=50)
    figures = {one.task: one for one in report.scores}
    assert (figures["own"].value, figures["own"].n) == (0.25, 4)
    assert figures["own"].low < 0.25 < figures["own"].high
    assert figures["own/ABUSE"].value == 0.25
    assert figures["own/CRIME"].value == 0.0
    assert [sample.question for sample in report.samples] == [BAD]
    assert report.notes == ["1 questions are longer than the model's context."]


def test_a_command_needs_a_moderation_model(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(row("네") + "\n", encoding="utf-8")
    argv = ["eval", "ethics", "m", str(tmp_path / "q.jsonl"), "--moderation", str(tmp_path)]
    done = CliRunner().invoke(root, [*argv, "--url", "http://127.0.0.1:9"])
    assert "no moderation model" in str(done.exception)
