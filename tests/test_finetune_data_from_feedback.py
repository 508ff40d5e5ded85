"""Votes and ratings: figures, and data for the next training."""

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from common.errors import UserError
from finetune.data.from_feedback import Training, held_out_pairs, replayed, training_data
from finetune.data.load import load_rows
from finetune.data.stored_feedback import Sources, parse_feedback
from finetune.rows.row import Pair
from kodolly.cli import root
from tests.support.judgements import QUESTION, answer, rating, vote
from tests.support.processes import NO_ENGINE, free_port, kodolly, running
from tests.support.stack_in_process import in_process


def stored(items: list[dict[str, Any]], kind: str = "v") -> list[dict[str, Any]]:
    """As the gateway lists them, with columns of its own."""
    return [
        item | {"id": f"{kind}-{n}", "created": f"2025-05-01T00:{n:02}:00Z"} for n, item in enumerate(items)
    ]


def made_of(
    votes: list[dict[str, Any]], ratings: list[dict[str, Any]] | None = None, **options: Any
) -> Training:
    return training_data(parse_feedback(stored(votes), stored(ratings or [], "r")), **options)


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
        ([vote("right", BASE, DOLLY | {"answer": "맑\ufffd"})], "the better answer holds broken characters"),
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
    made = made_of(
        [vote("left", chat, DOLLY)], [rating(5, chat)], sources=Sources(without=frozenset({"gpt-4o"}))
    )
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
    argv = kodolly("gateway", "--port", str(port), *NO_ENGINE)
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


def test_ratings_thumbs_and_votes_become_labelled_answers() -> None:
    good, bad, middling = (answer("dolly", f"{n}번째 답입니다.", question=f"{n}?") for n in range(3))
    both = answer("base", "둘 다", question="또?"), answer("dolly", "나쁨", question="또?")
    ratings = [rating(4, good), rating(2, bad), rating(3, middling)]
    ratings += [{"thumb": "down", "score": 5, "answer": answer("dolly", "점수가 이김", question="점수?")}]
    ratings += [{"thumb": "down", "answer": answer("dolly", "엄지", question="엄지?")}]
    made = made_of([vote("both_bad", *both), vote("right", BASE, DOLLY)], ratings)
    assert {row.response: row.meta["label"] for row in made.labelled} == {
        good["answer"]: True,
        bad["answer"]: False,
        "점수가 이김": True,
        "엄지": False,
        "둘 다": False,
        "나쁨": False,
        DOLLY["answer"]: True,
        BASE["answer"]: False,
    }
    origins = Counter(row.meta["from"] for row in made.labelled)
    assert origins == {"rating": 3, "thumb": 1, "both_bad": 2, "vote": 2}
    assert all(row.meta["source"] == "kodolly-feedback" for row in made.labelled)


def test_the_best_of_three_makes_two_pairs_and_says_of_no_other_that_it_is_bad() -> None:
    other, together = answer("third", "모르겠어요."), {"comparison": str(uuid.uuid4())}
    made = made_of([vote("right", BASE, DOLLY) | together, vote("left", DOLLY, other) | together])
    assert {(pair.chosen, pair.rejected) for pair in made.pairs} == {
        (DOLLY["answer"], BASE["answer"]),
        (DOLLY["answer"], other["answer"]),
    }
    assert {row.response: row.meta["label"] for row in made.labelled} == {DOLLY["answer"]: True}
    every = [(BASE, DOLLY), (BASE, other), (DOLLY, other)]
    bad = made_of([vote("both_bad", *pair) | together for pair in every])
    assert sorted(row.response for row in bad.labelled) == sorted(
        each["answer"] for each in (BASE, DOLLY, other)
    )
    assert {row.meta["label"] for row in bad.labelled} == {False}


def test_a_correction_becomes_a_row_a_pair_and_a_good_answer() -> None:
    given = answer("dolly", "다섯 시간입니다.", checkpoint="0123456789ab")
    made = made_of([], [{"correction": "두 시간 반입니다.", "answer": given, "rater_id": "민지"}])
    (row,), (pair,) = made.rows, made.pairs
    assert (row.response, row.meta["from"], row.meta["id"]) == ("두 시간 반입니다.", "correction", "r-0")
    assert (pair.chosen, pair.rejected) == ("두 시간 반입니다.", "다섯 시간입니다.")
    assert (pair.meta["chosen_model"], pair.meta["rejected_checkpoint"]) == ("correction", "0123456789ab")
    labels = {row.response: row.meta["label"] for row in made.labelled}
    assert labels == {"두 시간 반입니다.": True, "다섯 시간입니다.": False}
    assert made.used == {"r-0"}


def test_one_rater_has_one_voice_and_raters_who_disagree_label_nothing() -> None:
    who = {"rater_id": "민지"}
    votes = [vote("left", BASE, DOLLY) | who for _ in range(5)] + [vote("right", BASE, DOLLY) | who]
    (pair,) = made_of(votes).pairs
    assert pair.chosen == DOLLY["answer"]  # the last word
    votes += [vote("left", BASE, DOLLY) | {"rater_id": name} for name in ("지훈", "서연")]
    made = made_of(votes)
    assert [pair.chosen for pair in made.pairs] == [BASE["answer"]]
    assert made.used == {"v-5", "v-6", "v-7"}
    torn = made_of([], [rating(5, DOLLY) | who, rating(1, DOLLY) | {"rater_id": "지훈"}])
    assert torn.labelled == []
    assert torn.not_labelled["raters disagree whether the answer is good"] == 1


def test_rows_name_the_licence_of_the_model_that_gave_the_answer() -> None:
    sources = Sources(licences={"dolly": "CC-BY-NC-4.0"})
    corrected = rating(1, BASE) | {"correction": "두 시간 반입니다."}
    made = made_of([vote("left", DOLLY, BASE)], [rating(5, DOLLY), corrected], sources=sources)
    licences = {row.response: row.meta.get("licence") for row in made.rows}
    assert licences == {DOLLY["answer"]: "CC-BY-NC-4.0", "두 시간 반입니다.": None}
    assert {pair.chosen: pair.meta.get("licence") for pair in made.pairs} == licences
    assert {row.response: row.meta.get("licence") for row in made.labelled if row.meta["label"]} == licences


def test_a_providers_answers_train_nothing_unless_allowed() -> None:
    chat = answer("gpt-4o", "약 두 시간 반입니다.")
    cast = [vote("left", chat, DOLLY)], [{"correction": "세 시간입니다.", "answer": chat}]
    external = frozenset({"gpt-4o", "openai/gpt-4o"})
    made = made_of(*cast, sources=Sources(external))
    assert (made.pairs, made.rows) == ([], [])
    assert [row.response for row in made.labelled] == [DOLLY["answer"]]
    allowed = made_of(*cast, sources=Sources(external, allowed=frozenset({"gpt-4o"})))
    assert (len(allowed.pairs), len(allowed.rows)) == (2, 1)
    alias = answer("chat", "답", arm="gpt-4o")
    assert made_of([], [rating(5, alias)], sources=Sources(external)).rows == []


def test_held_out_questions_judge_and_are_never_replayed(tmp_path: Path) -> None:
    held = vote("right", BASE, DOLLY) | {"held_out": True}
    feedback = parse_feedback(stored([held]), [])
    assert [pair.chosen for pair in held_out_pairs(feedback)] == [DOLLY["answer"]]
    path = tmp_path / "old.jsonl"
    lines = [
        {"instruction": question, "context": "", "response": "네.", "category": "open_qa"}
        for question in (QUESTION, *(f"{n}?" for n in range(20)))
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    everything = replayed(path, 100, 1, feedback.held_out_questions())
    assert len(everything) == 20
    assert QUESTION not in [row.instruction for row in everything]
    some = replayed(path, 5, 1, frozenset())
    assert some == replayed(path, 5, 1, frozenset())
    assert len(some) == 5


def test_the_command_makes_files_and_marks_what_it_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_process(tmp_path, api_keys=("key-a",)) as stack:
        monkeypatch.setenv("KODOLLY_API_KEY", "key-a")
        headers = {"authorization": "Bearer key-a"}
        for n in range(30):
            good = answer("dolly", f"{n}입니다.", question=f"{n} 다음 수는?")
            bad = answer("base", "모릅니다.", question=f"{n} 다음 수는?")
            path = f"{stack.gateway}/v1/feedback/votes/{uuid.uuid4()}"
            body = vote("left", good, bad)
            httpx2.put(path, json=body, headers=headers, trust_env=False).raise_for_status()
        words = ["data", "from-feedback", "--gateway", stack.gateway, "--output", str(tmp_path / "made")]
        ran = CliRunner().invoke(root, [*words, "--run", "my-dolly-2"])
        assert ran.exit_code == 0, ran.output
        again = CliRunner().invoke(root, [*words[:-1], str(tmp_path / "again")])
        rows = httpx2.get(f"{stack.gateway}/v1/feedback/votes?limit=100", headers=headers, trust_env=False)
    counts = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in (tmp_path / "made").iterdir()
    }
    held = sum(row["held_out"] for row in rows.json()["data"])
    assert 0 < held < 30
    assert counts == {
        "pairs.jsonl": 30 - held,
        "labelled.jsonl": 2 * (30 - held),
        "rows.jsonl": 0,
        "held-out.jsonl": held,
    }
    used = [row["used_in"] for row in rows.json()["data"] if not row["held_out"]]
    assert used == [["my-dolly-2"]] * (30 - held)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "pairs.jsonl").read_text() == ""
    assert len((tmp_path / "again" / "held-out.jsonl").read_text().splitlines()) == held


def test_no_training_learns_personal_data() -> None:
    asked = "제 번호는 010-1234-5678인데 어디로 전화하나요?"
    given = answer("a", "minji@naver.com에 쓰세요.", asked)
    made = made_of([], [rating(1, given) | {"correction": "저희가 010-1234-5678로 걸게요."}])
    (row,), (pair,) = made.rows, made.pairs
    assert row.instruction == "제 번호는 [전화번호]인데 어디로 전화하나요?"
    assert row.response == pair.chosen == "저희가 [전화번호]로 걸게요."
    assert (pair.rejected, made.masked) == ("[이메일]에 쓰세요.", 5)
    lines = [str(one) for one in (*made.rows, *made.pairs, *made.labelled)]
    assert not [line for line in lines if "010" in line or "naver" in line]
