"""What clients think of answers, by request id: whose it is, what it is about, what is kept, how it goes."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from common.feedback import Message
from common.prompt_hash import is_held_out, prompt_hash
from common.registry import ModelCard
from kodolly.commands.feedback_export import command as export
from kodolly.commands.feedback_forget import command as forget
from tests.support.old_store import answer
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.stack_in_process import InProcess, in_process

V1, V2 = "0123456789ab", "fedcba987654"
KEYS = ("key-a", "key-b")
ADMIN = {"authorization": "Bearer the-admin-token"}
A, B = ({"authorization": f"Bearer {key}"} for key in KEYS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    path = tmp_path_factory.mktemp("feedback")
    with in_process(path, api_keys=KEYS, admin_token="the-admin-token") as running:
        running.default_headers.update(A)
        running.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        yield running


def rating(stack: InProcess, rating_id: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.get(f"/v1/feedback/ratings/{rating_id}", **ADMIN)
    return found


def test_a_request_id_is_enough_and_the_gateway_knows_the_checkpoint(stack: InProcess) -> None:
    asked = stack.ask("돌리").headers["x-request-id"]
    said = {"request_id": asked, "thumb": "down", "tags": ["tone"], "rater_id": "민지", "session_id": "s1"}
    told = stack.post("/v1/feedback", said | {"model": "거짓", "checkpoint": V2}).raise_for_status().json()
    assert (told["model"], told["checkpoint"], told["conversation"]) == ("돌리", V1, "not kept")
    row = rating(stack, told["id"])
    assert (row["thumb"], row["score"], row["tags"], row["checkpoint"]) == ("down", None, ["tone"], V1)
    assert (row["rater_id"], row["session_id"], row["key_id"]) == ("민지", "s1", "env-1")
    assert (row["answer"]["messages"], row["answer"]["answer"]) == ([], "")
    again = stack.post("/v1/feedback", said | {"thumb": "up"}).json()
    assert again["id"] == told["id"]
    assert rating(stack, told["id"])["thumb"] == "up"
    other = stack.post("/v1/feedback", said | {"rater_id": "지훈"}).json()
    assert other["id"] != told["id"]


def test_a_correction_is_kept_with_the_conversation_that_comes_along(stack: InProcess) -> None:
    asked = stack.ask("돌리").headers["x-request-id"]
    said = {
        "request_id": asked,
        "correction": "서울입니다.",
        "comment": "틀렸어요",
        "messages": [{"role": "user", "content": "수도는?"}],
        "answer": "부산입니다.",
        "finish_reason": "length",
    }
    told = stack.post("/v1/feedback", said).raise_for_status().json()
    assert told["conversation"] == "kept"
    row = rating(stack, told["id"])
    assert (row["correction"], row["comment"]) == ("서울입니다.", "틀렸어요")
    assert (row["answer"]["answer"], row["answer"]["finish_reason"]) == ("부산입니다.", "length")
    assert row["prompt_hash"] == prompt_hash([Message(role="user", content="수도는?")])
    assert row["held_out"] == is_held_out(row["prompt_hash"], 0.2)


def test_another_keys_request_and_an_unknown_one_are_not_known(stack: InProcess) -> None:
    asked = stack.ask("돌리").headers["x-request-id"]
    said = {"request_id": asked, "score": 5}
    for headers, body in ((B, said), (A, said | {"request_id": "req-nobody"})):
        refused = stack.post("/v1/feedback", body, **headers)
        assert refused.status_code == 404
        assert "x-kodolly-checkpoint" in refused.json()["error"]["message"]
    told = stack.post("/v1/feedback", said | {"model": "돌리", "checkpoint": V2}, **B).raise_for_status()
    assert told.json()["checkpoint"] == V2


@pytest.mark.parametrize(
    "body",
    [
        {"request_id": "r"},
        {"request_id": "r", "tags": []},
        {"request_id": "", "score": 5},
        {"request_id": "r", "score": 0},
        {"request_id": "r", "thumb": "sideways"},
        {"request_id": "r", "score": 3, "checkpoint": "<script>"},
        {"score": 3},
    ],
)
def test_what_says_nothing_is_refused(stack: InProcess, body: dict[str, Any]) -> None:
    assert stack.post("/v1/feedback", body).status_code == 400


def test_votes_get_the_checkpoints_that_the_gateway_saw(stack: InProcess) -> None:
    asked = stack.ask("돌리").headers["x-request-id"]
    left = answer("돌리").model_copy(update={"request_id": asked, "checkpoint": V2})
    right = answer("전").model_copy(update={"checkpoint": V2})
    body = {"choice": "left", "left": left.model_dump(), "right": right.model_dump(), "blind": True}
    vote_id = str(uuid.uuid4())
    put = httpx2.put(f"{stack.gateway}/v1/feedback/votes/{vote_id}", json=body, headers=A, trust_env=False)
    put.raise_for_status()
    row = stack.get(f"/v1/feedback/votes/{vote_id}")
    assert (row["left_checkpoint"], row["right_checkpoint"]) == (V1, V2)
    assert row["left"]["checkpoint"] == V1


def test_what_a_training_used_is_marked_and_stays_so(stack: InProcess) -> None:
    asked = stack.ask("돌리").headers["x-request-id"]
    said = {"request_id": asked, "score": 2}
    rating_id = stack.post("/v1/feedback", said).json()["id"]
    use = {"run": "improve-1", "ratings": [rating_id, str(uuid.uuid4())]}
    assert stack.post("/v1/feedback/used", use, **B).json() == {"marked": 0}
    for run in ("improve-1", "improve-1", "improve-2"):
        assert stack.post("/v1/feedback/used", use | {"run": run}).json() == {"marked": 1}
    stack.post("/v1/feedback", said | {"score": 3}).raise_for_status()
    row = rating(stack, rating_id)
    assert (row["score"], row["used_in"]) == (3, ["improve-1", "improve-2"])


def test_since_leaves_out_what_came_before(stack: InProcess) -> None:
    for number in (1, 2):
        asked = stack.ask("돌리").headers["x-request-id"]
        said = {"request_id": asked, "score": number, "rater_id": f"since-{number}"}
        stack.post("/v1/feedback", said).raise_for_status()
    newest = stack.get("/v1/feedback/ratings?limit=1", **ADMIN)["data"][0]
    since = newest["created"].replace("+", "%2B")
    rows = stack.get(f"/v1/feedback/ratings?since={since}", **ADMIN)["data"]
    assert [row["id"] for row in rows] == [newest["id"]]


def test_everything_of_one_rater_is_deleted_and_nobody_elses(stack: InProcess) -> None:
    asked = stack.ask("돌리").headers["x-request-id"]
    ids = {}
    for headers, rater in ((A, "떠난이"), (A, "남은이"), (B, "떠난이")):
        said = {"request_id": asked, "score": 1, "rater_id": rater, "model": "돌리"}
        ids[headers["authorization"], rater] = stack.post("/v1/feedback", said, **headers).json()["id"]
    path = f"{stack.gateway}/v1/feedback/raters/떠난이"
    gone = httpx2.delete(path, headers=A, trust_env=False)
    assert gone.json() == {"votes": 0, "ratings": 1, "conversations": 0}
    left = [row["rater_id"] for row in stack.get("/v1/feedback/ratings?limit=1000", **ADMIN)["data"]]
    assert "남은이" in left
    assert left.count("떠난이") == 1
    assert httpx2.delete(path, headers=ADMIN, trust_env=False).json() == gone.json()


def test_users_whose_long_ids_begin_alike_are_told_apart(tmp_path: Path) -> None:
    users = [f"https://id.example/{'가' * 120}/{n}" for n in range(2)]
    with in_process(tmp_path, feedback_store="all") as stack:
        stack.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        for user in users:
            stack.ask("돌리", user=user)

        def raters() -> set[str]:
            return {row["rater_id"] for row in stack.get("/v1/feedback/conversations")["data"]}

        wait_for(lambda: len(raters()) == 2, PATIENCE_S, what="both users' conversations")
        words = [users[0], "--gateway", stack.gateway]
        gone = CliRunner().invoke(forget, words, env={"KODOLLY_STATE_DIR": "no-web-ui"})
        assert gone.output.startswith("Deleted: 0 votes, 0 ratings, 1 conversations."), gone.output
        (left,) = raters()
        assert (
            CliRunner().invoke(forget, [left, *words[1:]]).output.startswith("Deleted: 0 votes, 0 ratings, 1")
        )


def test_with_none_nobodys_words_are_stored(tmp_path: Path) -> None:
    secret = "아무도 읽지 못할 말"
    with in_process(tmp_path, feedback_store="none") as stack:
        stack.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        asked = stack.ask("돌리").headers["x-request-id"]
        said = {
            "request_id": asked,
            "score": 2,
            "comment": secret,
            "correction": secret,
            "messages": [{"role": "user", "content": secret}],
            "answer": secret,
        }
        told = stack.post("/v1/feedback", said).raise_for_status().json()
        assert told["conversation"] == "not kept"
        body = {"score": 4, "answer": answer("돌리").model_copy(update={"answer": secret}).model_dump()}
        path = f"{stack.gateway}/v1/feedback/ratings/{uuid.uuid4()}"
        httpx2.put(path, json=body, trust_env=False).raise_for_status()
        rows = stack.get("/v1/feedback/ratings")["data"]
    assert sorted(row["score"] for row in rows) == [2, 4]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("kodolly.db*"))
    assert secret.encode() not in stored
    assert "서울의 가을은".encode() not in stored


def test_the_same_question_is_held_out_wherever_it_is_asked() -> None:
    asked = [
        [Message(role="user", content="수도는  어디?")],
        [Message(role="system", content="짧게"), Message(role="user", content=" 수도는 어디?\n")],
        [
            Message(role="user", content="안녕"),
            Message(role="assistant", content="네"),
            Message(role="user", content="수도는 어디?"),
        ],
    ]
    assert len({prompt_hash(messages) for messages in asked}) == 1
    assert prompt_hash([]) == prompt_hash([Message(role="user", content=" ")]) == ""
    hashes = [prompt_hash([Message(role="user", content=str(number))]) for number in range(5000)]
    first, more = ({one for one in hashes if is_held_out(one, share)} for share in (0.2, 0.3))
    assert first < more
    assert 900 < len(first) < 1100
    assert not any(is_held_out(one, 0.0) for one in hashes)


def test_an_export_holds_everything_but_personal_data(
    stack: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KODOLLY_API_KEY", "key-b")
    said = {
        "request_id": "r-export",
        "model": "돌리",
        "correction": "전화 010-1234-5678로 하세요.",
        "rater_id": "내보낸이",
        "messages": [{"role": "user", "content": "메일은 minji@naver.com입니다."}],
        "answer": "네.",
    }
    stack.post("/v1/feedback", said, **B).raise_for_status()
    output = tmp_path / "feedback.jsonl"
    result = CliRunner().invoke(export, ["--gateway", stack.gateway, "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert output.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    (line,) = [line for line in lines if line["rater_id"] == "내보낸이"]
    assert (line["kind"], line["correction"]) == ("rating", "전화 [전화번호]로 하세요.")
    assert line["answer"]["messages"][0]["content"] == "메일은 [이메일]입니다."
    gone = CliRunner().invoke(
        forget, ["내보낸이", "--gateway", stack.gateway], env={"KODOLLY_STATE_DIR": "no-web-ui"}
    )
    assert gone.output.startswith("Deleted: 0 votes, 1 ratings, 0 conversations.")
