"""The judge: questions, prompts, verdicts, and whole runs against an OpenAI-compatible server on loopback."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from finetune.eval.compare import compare
from finetune.eval.judge import QUESTIONS, JudgeVerdict, load_questions
from finetune.eval.judge_prompts import pair_prompt, read_mark, read_preference
from finetune.eval.judge_results import pair_results, trust
from finetune.eval.report import read_report
from kodolly.cli import root
from tests.support.quiet_handler import QuietHandler, answering

OWN = [
    {"id": "a", "category": "writing", "turns": ["봄을 한 문장으로 써 주세요.", "더 짧게요."]},
    {"id": "b", "category": "math", "turns": ["2 더하기 3은?"], "references": ["5"]},
    {"id": "c", "category": "math", "turns": ["넷의 절반은?"], "references": ["2"]},
]
"""Four answers a model: a has two turns."""


class Server(ThreadingHTTPServer):
    """Serves the models `plain` and `rich`, and the judge `strict`, which speaks as `verdict` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.busy = 1
        """How many requests are answered with 429 first."""
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def verdict(self, prompt: str) -> str:
        if "Assistant A" not in prompt:
            return "수식이 없다." if "절반" in prompt else f"좋다. [[{8 if 'rich의' in prompt else 4}]]"
        if "2 더하기" in prompt:
            return "앞의 답이 낫다.\n[[A]]"  # whoever stands first
        return (
            "[[A]]" if prompt.index("rich의") < prompt.index("plain의") else "따져 보면 [[C]]가 아니라 [[B]]"
        )


class _Handler(QuietHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": "plain"}, {"id": "rich"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.busy -= 1
            if self.server.busy >= 0:
                return self._send(429, {"error": {"message": "busy"}}, {"retry-after": "0"})
        model = body["model"]
        if model == "strict" and "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return self._send(400, {"error": {"message": message, "param": "max_tokens"}})
        with self.server.lock:
            self.server.asked[model] += 1
            if model == "strict":
                self.server.keys.add(self.headers["authorization"])
        last = body["messages"][-1]["content"]
        turn = (len(body["messages"]) + 1) // 2
        text = self.server.verdict(last) if model == "strict" else f"{model}의 {turn}번째 답"
        return self._send(
            200, {"choices": [{"message": {"content": text}, "finish_reason": "stop", "index": 0}]}
        )

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.answer(json.dumps(body, ensure_ascii=False).encode(), status, headers)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with answering(made):
        yield made


def judge(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Result:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "judge-key")
    questions = tmp_path / "questions.jsonl"
    lines = [json.dumps(question, ensure_ascii=False) for question in OWN]
    questions.write_text("\n".join(lines), encoding="utf-8")
    argv = ["eval", "judge", "plain", "rich", str(tmp_path / "out"), "--judge", "strict", "--url", server.url]
    return CliRunner().invoke(root, [*argv, "--questions", str(questions), *more])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_run_keeps_every_word_and_says_how_far_to_trust_the_judge(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = judge(server, tmp_path, monkeypatch)
    assert ran.exit_code == 0, (ran.output, ran.exception)
    out = tmp_path / "out"
    answers = lines(out / "answers.jsonl")
    assert answers[0]["answers"] == ["plain의 1번째 답", "plain의 2번째 답"]
    verdicts = lines(out / "verdicts.jsonl")
    assert len(verdicts) == 8 + 8  # four turns marked for two models, four compared in two orders
    assert {verdict["text"] for verdict in verdicts} >= {"수식이 없다.", "앞의 답이 낫다.\n[[A]]"}
    content = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert (content["marks"]["plain"]["value"], content["marks"]["rich"]["value"]) == (4.0, 8.0)
    (pair,) = content["pairs"]
    assert (pair["first"], pair["wins"], pair["losses"], pair["ties"]) == ("plain", 0, 3, 1)
    assert pair["contradicted"] == 1  # "2 더하기 3": the first answer won both times
    assert content["trust"]["unread"] == 2  # c, marked for two models
    assert content["trust"]["agreement"]["value"] == 0.75
    assert content["trust"]["first_rate"]["value"] == 5 / 8
    assert server.keys == {"Bearer judge-key"}
    assert not any("judge-key" in path.read_text(encoding="utf-8") for path in out.iterdir())
    reports = [read_report(out / f"{model}.json") for model in ("plain", "rich")]
    assert reports[0].notes == ["1 of 4 verdicts hold no mark and are not counted."]
    marks = {score.task: (score.value, score.n) for score in reports[1].scores}
    assert marks["all"] == (8.0, 2)
    assert marks["math"] == (8.0, 1)
    assert marks["turn 2"] == (8.0, 1)
    assert compare(reports).rows[0].differences["rich"].value == 4.0


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_asks_only_for_what_is_missing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judge(server, tmp_path, monkeypatch)
    path = tmp_path / "out" / "verdicts.jsonl"
    whole = path.read_text(encoding="utf-8")
    asked = Counter(server.asked)
    judge(server, tmp_path, monkeypatch)
    assert server.asked == asked
    path.write_text(whole[:-20], encoding="utf-8")  # killed while it wrote the last line
    again = judge(server, tmp_path, monkeypatch)
    assert server.asked == asked + Counter(strict=1)
    assert path.read_text(encoding="utf-8") == whole
    assert again.stdout == first.stdout


@pytest.mark.slow
def test_other_answers_are_judged_anew(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(server, tmp_path, monkeypatch, "--mode", "single")
    assert server.asked["strict"] == 8
    path = tmp_path / "out" / "answers.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("plain의 1번째", "plain의 첫"), encoding="utf-8")
    judge(server, tmp_path, monkeypatch, "--mode", "single")
    assert (
        server.asked["strict"] == 8 + 4
    )  # three first answers, and the second one that follows a changed one


def test_a_model_that_is_not_served_and_a_missing_key_are_said_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["eval", "judge", "none", str(tmp_path), "--judge", "strict", "--url", server.url]
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    ran = CliRunner().invoke(root, argv)
    assert isinstance(ran.exception, UserError)
    assert "has no model 'none'" in str(ran.exception)
    assert "plain, rich" in str(ran.exception)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    ran = CliRunner().invoke(root, argv)
    assert isinstance(ran.exception, UserError)
    assert "OPENAI_API_KEY" in str(ran.exception)


def test_the_bundled_questions_are_whole() -> None:
    questions = load_questions(QUESTIONS)
    assert len(questions) == 48
    assert set(Counter(question.category for question in questions).values()) == {6}
    assert sum(len(question.turns) == 2 for question in questions) >= 20
    assert all(len(question.references) in (0, len(question.turns)) for question in questions)
    assert all(question.references for question in questions if question.category in ("math", "coding"))


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [
        ("[[7]]", 7.0),
        ("처음에는 [[3]]이라고 보았으나\n[[8.5]]", 8.5),
        ("[[ 9/10 ]]", 9.0),
        ("[[0]]", None),
        ("[[11]]", None),
        ("[7]", None),
        ("", None),
    ],
)
def test_the_last_mark_between_one_and_ten_counts(verdict: str, mark: float | None) -> None:
    assert read_mark(verdict) == mark


@pytest.mark.parametrize(
    ("verdict", "preference"),
    [("[[A]]", "A"), ("[[A]] 아니, [[B]]", "B"), ("[[c]]", "tie"), ("A가 낫다", None), ("[[D]]", None)],
)
def test_the_last_preference_counts(verdict: str, preference: str | None) -> None:
    assert read_preference(verdict) == preference


@given(st.text(max_size=200))
def test_any_verdict_is_read_or_counted_as_unread(text: str) -> None:
    mark = read_mark(text)
    assert mark is None or 1 <= mark <= 10
    assert read_preference(text) in ("A", "B", "tie", None)


def test_a_judge_sees_earlier_turns_references_and_an_empty_answer() -> None:
    prompt = str(pair_prompt(["하나?", "둘?"], ["가", ""], ["나", "다"], ["일", "이"])[1]["content"])
    assert (
        prompt.index("Turn 2: 이") < prompt.index("하나?") < prompt.index("(no answer)") < prompt.index("다")
    )
    assert "last message" in prompt


def verdict(models: tuple[str, str], result: Any, question: str = "q") -> JudgeVerdict:
    return JudgeVerdict(
        key=f"{question}{models}",
        mode="pairwise",
        judge="j",
        question=question,
        category="math",
        turn=1,
        models=models,
        text="",
        result=result,
    )


def test_wins_take_both_orders() -> None:
    orders = (("x", "y"), ("y", "x"))
    said = {
        "won": ("A", "B"),
        "lost": ("B", "A"),
        "sided": ("A", "A"),
        "tied": ("tie", "tie"),
        "bad": ("A", None),
    }
    verdicts = [
        verdict(models, result, question)
        for question, results in said.items()
        for models, result in zip(orders, results, strict=True)
    ]
    (pair,) = pair_results(verdicts)
    assert (pair.wins, pair.losses, pair.ties, pair.contradicted, pair.unread) == (1, 1, 2, 1, 1)
    assert pair.win_rate is not None
    assert pair.win_rate.value == 0.5
    found = trust(verdicts)
    assert (found.verdicts, found.unread, found.decided) == (10, 1, 7)
    assert found.agreement is not None
    assert found.agreement.value == 0.75


def test_broken_questions_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(OWN[0]) + '\n{"id": "x"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"q\.jsonl, line 2: category"):
        load_questions(path)
    path.write_text(json.dumps(OWN[0]) + "\n" + json.dumps(OWN[0]), encoding="utf-8")
    with pytest.raises(UserError, match="same id"):
        load_questions(path)
