"""`kodolly eval retrieval` scores the ranks of the passages that answer questions."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from finetune.eval.retrieval import load_questions, scores
from kodolly.cli import root

PASSAGES = ("직원의 연차휴가는 15일로 한다.", "경조금은 한 달 안에 청구한다.", "출장비는 영수증을 낸다.")
QUESTIONS = ("연차는 며칠인가?", "경조금은 언제까지 청구하나?", "휴가는 며칠인가?")
ANSWERED_BY = (0, 1, 2)  # the last on purpose by a passage that does not answer it


def run(path: Path, *options: str) -> Result:
    return CliRunner().invoke(root, ["eval", "retrieval", str(path), *options])


def write_jsonl(path: Path) -> Path:
    rows = [
        {"question": question, "passage": PASSAGES[number]}
        for question, number in zip(QUESTIONS, ANSWERED_BY, strict=True)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_of_questions_is_scored_with_intervals(tmp_path: Path) -> None:
    done = run(write_jsonl(tmp_path / "own.jsonl"), "--output", str(tmp_path / "report.json"))
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    figures = {one["metric"]: round(one["value"], 4) for one in report["scores"]}
    assert figures == {
        "recall_at_1": 0.6667,
        "recall_at_5": 0.6667,
        "recall_at_10": 0.6667,
        "mrr": 0.6667,
        "ndcg": 0.6667,
    }
    assert report["scores"][0]["low"] < 0.6667 < report["scores"][0]["high"]
    assert [(one["question"], one["wanted"]) for one in report["samples"]] == [(QUESTIONS[2], PASSAGES[2])]
    assert "recall_at_1" in done.stdout


def test_ranks_become_the_usual_figures() -> None:
    made = {one.metric: one.value for one in scores("t", [1, 3, 7, None], ["a", "b", "c", "d"])}
    assert made["recall_at_1"] == 0.25
    assert made["recall_at_5"] == 0.5
    assert made["recall_at_10"] == 0.75
    assert made["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 7) / 4)
    assert made["ndcg"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)


def test_boolq_and_korquad_are_read_and_a_limit_keeps_all_passages(tmp_path: Path) -> None:
    boolq = tmp_path / "dev.tsv"
    boolq.write_text(
        "ID\tText\tQuestion\tAnswer\n1\t가 글\t가?\tTRUE\n2\t가 글\t나?\tFalse\n", encoding="utf-8"
    )
    assert load_questions(boolq).asked == (("가?", 0), ("나?", 0))
    items = [{"id": n, "question": f"{n}?", "answers": [{"text": n}]} for n in "ab"]
    korquad = tmp_path / "dev.json"
    paragraphs = [{"context": f"{item['id']} 글", "qas": [item]} for item in items]
    korquad.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
    limited = load_questions(korquad, 1)
    assert (limited.passages, limited.asked) == (("a 글", "b 글"), (("a?", 0),))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"question": "가?"}', "line 1: no JSON object with `question` and `passage`."),
        ("a.jsonl", '{"question": "가?", "passage": " "}', "line 1: the question or its passage is empty."),
        ("a.jsonl", "\n", "holds no questions."),
        ("a.csv", "a", "is no file of questions."),
    ],
)
def test_a_file_without_questions_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert message in str(run(tmp_path / name).exception)
