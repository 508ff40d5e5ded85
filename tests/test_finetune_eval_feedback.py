"""Votes and ratings: figures, and data for the next training."""

import json
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from common.errors import UserError
from finetune.data.load import load_rows
from finetune.eval.feedback import Training, parse_feedback, training_data
from finetune.rows.row import Pair
from kodolly.cli import root
from tests.processes import free_port, kodolly, running

QUESTION = "서울에서 부산까지 얼마나 걸리나요?"


def answer(model: str, text: str, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "answer": text,
        "sampling": {"temperature": 0.7, "top_p": 1.0, "max_tokens": 256},
        "finish_reason": "stop",
        **more,
    }


def vote(choice: str, left: dict[str, Any], right: dict[str, Any], blind: bool = True) -> dict[str, Any]:
    return {"choice": choice, "left": left, "right": right, "blind": blind, "locale": "ko"}


def rating(score: int, given: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"score": score, "tags": list(tags), "answer": given}


def stored(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the gateway lists them, with columns of its own."""
    return [item | {"id": f"id-{n}", "created": "2025-05-01T00:00:00Z"} for n, item in enumerate(items)]


def made_of(
    votes: list[dict[str, Any]], ratings: list[dict[str, Any]] | None = None, **options: Any
) -> Training:
    return training_data(*parse_feedback(stored(votes), stored(ratings or [])), **options)


BASE, DOLLY = answer("base", "모릅니다."), answer("dolly", "KTX로 두 시간 반쯤 걸립니다.")


def test_a_vote_becomes_a_pair_with_context_and_history() -> None:
    messages = [
        {"role": "system", "content": "짧게 답하세요."},
        {"role": "user", "content": "안녕하세요?"},
        {"role": "assistant", "content": "안녕하세요!"},
        {"role": "user", "content": "언제 떠났나요?\n\nInput:\n민수는 어제 떠났다."},
    ]
    good, bad = (
        answer("dolly", "어제요.") | {"messages": messages},
        answer("base", "몰라요.") | {"messages": messages},
    )
    (pair,) = made_of([vote("left", good, bad)]).pairs
    assert (pair.instruction, pair.context) == ("언제 떠났나요?", "민수는 어제 떠났다.")
    assert (pair.chosen, pair.rejected) == ("어제요.", "몰라요.")
    assert [turn.role for turn in pair.history] == ["system", "user", "assistant"]
    assert pair.meta["chosen_model"] == "dolly"


@pytest.mark.parametrize(
    ("cast", "reason"),
    [
        ([vote("tie", BASE, DOLLY)], "no winner"),
        ([vote("left", BASE, answer("dolly", "모릅니다. "))], "the two answers are the same"),
        (
            [vote("left", BASE, answer("dolly", "네.", question="다른 질문"))],
            "the two answers are to different conversations",
        ),
        ([vote("right", BASE, DOLLY | {"finish_reason": "length"})], "the better answer was cut off"),
        ([vote("right", BASE, answer("dolly", " "))], "an answer or question is empty"),
        (
            [vote("left", BASE, DOLLY), vote("left", DOLLY, BASE)],
            "votes on the same two answers cancel out",
        ),
    ],
)
def test_what_teaches_nothing_is_left_out_with_the_reason(cast: list[dict[str, Any]], reason: str) -> None:
    made = made_of(cast)
    assert made.pairs == []
    assert made.left_out[reason] == len(cast)


def test_several_votes_on_the_same_answers_are_one_pair_by_majority() -> None:
    made = made_of([vote("left", BASE, DOLLY), vote("right", BASE, DOLLY), vote("left", DOLLY, BASE)])
    (pair,) = made.pairs
    assert pair.chosen == DOLLY["answer"]
    assert made.left_out["voted on before"] == 2


def test_ratings_become_rows_by_their_mean_and_pairs_when_far_apart() -> None:
    ratings = [rating(5, DOLLY), rating(4, DOLLY), rating(2, BASE), rating(4, answer("base", "네.", "또?"))]
    made = made_of([], ratings, min_score=4.5)
    (row,) = made.rows
    assert (row.response, row.category, row.meta["score"]) == (DOLLY["answer"], "general_qa", 4.5)
    (pair,) = made.pairs
    assert (pair.chosen, pair.rejected) == (DOLLY["answer"], BASE["answer"])


def test_answers_of_a_model_that_is_left_out_are_in_neither() -> None:
    chat = answer("gpt-4o", "약 두 시간 반입니다.")
    made = made_of([vote("left", chat, DOLLY)], [rating(5, chat)], without=frozenset({"gpt-4o"}))
    assert (made.pairs, made.rows) == ([], [])
    assert made.left_out["answer of a model that is left out"] == 2


def test_something_else_than_feedback_is_refused() -> None:
    with pytest.raises(UserError, match="not a gateway's feedback"):
        parse_feedback([{"id": "x"}], [])


@pytest.mark.slow
def test_the_gateways_feedback_comes_back_as_figures_and_training_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    gateway = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("KODOLLY_API_KEY", "key-one")
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_API_KEYS": '["key-one"]'}
    argv = kodolly("gateway", "--port", str(port), "--controller", "http://127.0.0.1:9")
    with running(argv, tmp_path / "log", f"{gateway}/healthz", env, tmp_path):
        headers = {"authorization": "Bearer key-one"}
        feedback = [("votes", vote("right", BASE, DOLLY)), ("votes", vote("left", BASE, DOLLY, blind=False))]
        feedback += [("ratings", rating(5, DOLLY, ("tone",))), ("ratings", rating(2, BASE))]
        for kind, body in feedback:
            path = f"{gateway}/v1/feedback/{kind}/{uuid.uuid4()}"
            httpx2.put(path, json=body, headers=headers, trust_env=False).raise_for_status()
        pairs, rows, figures = tmp_path / "pairs.jsonl", tmp_path / "rows.jsonl", tmp_path / "figures.json"
        asked = ["eval", "votes", "--gateway", gateway, "--pairs", str(pairs), "--rows", str(rows)]
        ran = CliRunner().invoke(root, [*asked, "--output", str(figures)])
        assert ran.exit_code == 0, ran.output
        blind = CliRunner().invoke(root, ["eval", "votes", "--gateway", gateway, "--blind"])
        monkeypatch.setenv("KODOLLY_API_KEY", "wrong")
        refused = CliRunner().invoke(root, ["eval", "votes", "--gateway", gateway])
    assert "50.0%" in ran.output
    assert "dolly" in blind.output
    assert "0.0%" in blind.output  # base lost the one blind vote
    assert isinstance(refused.exception, UserError)
    # the two votes cancel out; the ratings, three points apart, make the pair
    (line,) = pairs.read_text(encoding="utf-8").splitlines()
    assert Pair.model_validate_json(line).chosen == DOLLY["answer"]
    assert [row.response for row in load_rows(rows)] == [DOLLY["answer"]]
    content = json.loads(figures.read_text(encoding="utf-8"))
    assert content["pairs"][0]["win_rate"]["value"] == 0.5
    assert content["ratings"][1]["tags"] == {"tone": 1}


def test_a_gateway_that_is_not_there_is_one_line() -> None:
    ran = CliRunner().invoke(root, ["eval", "votes", "--gateway", f"http://127.0.0.1:{free_port()}"])
    assert isinstance(ran.exception, UserError)
    assert "No gateway answers" in str(ran.exception)


def test_a_question_that_is_held_out_trains_nothing_whenever_it_was_asked() -> None:
    held = vote("right", BASE, DOLLY) | {"held_out": True}
    earlier = rating(5, answer("dolly", "두 시간 반입니다.", question=f" {QUESTION}\n"))
    other = rating(5, answer("dolly", "네 시간입니다.", question="목포까지는요?"))
    made = made_of([held], [earlier, other])
    assert made.pairs == []
    assert [row.instruction for row in made.rows] == ["목포까지는요?"]
    assert made.left_out["held out for judging"] == 2


def test_feedback_without_a_text_or_a_score_is_counted_and_trains_nothing() -> None:
    silent = BASE | {"messages": [], "answer": "", "sampling": None}
    thumb = {"score": None, "thumb": "up", "answer": DOLLY}
    made = made_of([vote("left", silent, silent)], [thumb])
    assert (made.pairs, made.rows) == ([], [])
