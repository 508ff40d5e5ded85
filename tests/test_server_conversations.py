"""`feedback_store: all`: which conversations are kept, for whom, what never is, and how they go again."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from common.database import StoreFailed
from common.registry import ModelCard
from kodolly.commands.feedback_export import command as export
from kodolly.commands.feedback_forget import command as forget
from server.client.large_body import ThinBody
from server.client.request import RequestHead
from server.client.routes import CHAT, MESSAGES, RESPONSES, Route
from server.inference import recorded_client
from server.inference.conversation import NotKept, conversation
from server.inference.conversation_log import ConversationLog, Recording
from server.store.conversations import ConversationStore
from server.store.opening import open_store
from server.store.owner import Owner
from tests.support.metric_samples import samples, value
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.records import request
from tests.support.stack_in_process import InProcess, in_process

V1 = "0123456789ab"
ADMIN = {"authorization": "Bearer the-admin-token"}
A, B = ({"authorization": f"Bearer {key}"} for key in ("key-a", "key-b"))
ALL = "/v1/feedback/conversations"


class ScriptedClient:
    """Takes what a client takes."""

    chunked = True

    def answer(self, status: int, headers: bytes, *body: bytes) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    path = tmp_path_factory.mktemp("conversations")
    settings = {"api_keys": ("key-a", "key-b"), "admin_token": "the-admin-token", "feedback_store": "all"}
    with in_process(path, **settings) as running:
        running.default_headers.update(A)
        running.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        yield running


def kept(stack: InProcess, request_id: str, **headers: str) -> dict[str, Any]:
    """As soon as it is written."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [row for row in stack.get(ALL, **headers)["data"] if row["id"] == request_id]
        return bool(found)

    wait_for(there, PATIENCE_S)
    return found[0]


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_asked_and_answered_is_kept_with_who_answered(stack: InProcess, stream: bool) -> None:
    messages = [
        {"role": "developer", "content": "짧게"},
        {"role": "user", "content": [{"type": "text", "text": "수도는?"}]},
    ]
    more: dict[str, Any] = {
        "headers": {"x-session-id": "noon"},
        "messages": messages,
        "user": "민지",
        "max_tokens": 20,
    }
    given = stack.ask("돌리", stream=stream, **more)
    row = kept(stack, given.headers["x-request-id"])
    assert (row["model"], row["checkpoint"], row["key_id"]) == ("돌리", V1, "env-1")
    assert (row["rater_id"], row["session_id"], row["finish_reason"]) == ("민지", "noon", "length")
    assert row["messages"] == [{"role": "system", "content": "짧게"}, {"role": "user", "content": "수도는?"}]
    if not stream:
        assert row["answer"] == given.json()["choices"][0]["message"]["content"]
    else:
        events = [json.loads(line[6:]) for line in given.text.splitlines() if line.startswith("data: {")]
        said = [one["choices"][0]["delta"].get("content") or "" for one in events if one["choices"]]
        assert row["answer"] == "".join(said) != ""


def test_feedback_by_request_id_alone_has_its_conversation_also_after_a_restart(tmp_path: Path) -> None:
    settings = {"feedback_store": "all"}
    with in_process(tmp_path, **settings) as stack:
        stack.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        asked = stack.ask("돌리", "하나?").headers["x-request-id"]
        at_once = stack.post("/v1/feedback", {"request_id": asked, "score": 2}).raise_for_status().json()
        assert (at_once["conversation"], at_once["checkpoint"]) == ("kept", V1)
        later = stack.ask("돌리", "둘?").headers["x-request-id"]
    with in_process(tmp_path, **settings) as stack:
        told = stack.post("/v1/feedback", {"request_id": later, "correction": "셋"}).raise_for_status().json()
        assert (told["model"], told["checkpoint"], told["conversation"]) == ("돌리", V1, "kept")
        row = stack.get(f"/v1/feedback/ratings/{told['id']}")
        assert row["answer"]["messages"] == [{"role": "user", "content": "둘?"}]
        assert row["prompt_hash"]


def test_a_key_sees_and_deletes_its_own_and_an_administrator_all(stack: InProcess) -> None:
    mine = stack.ask("돌리").headers["x-request-id"]
    theirs = stack.ask("돌리", headers=B).headers["x-request-id"]
    kept(stack, mine)
    kept(stack, theirs, **ADMIN)
    assert theirs not in [row["id"] for row in stack.get(ALL)["data"]]

    def answer(method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
        return httpx2.request(method, f"{stack.gateway}{path}", headers=headers, trust_env=False)

    assert answer("GET", f"{ALL}/{theirs}", A).status_code == 404
    assert answer("DELETE", f"{ALL}/{theirs}", A).status_code == 404
    assert answer("DELETE", f"{ALL}/{mine}", A).status_code == 204
    assert answer("DELETE", ALL, B).json()["conversations"] >= 1
    assert [row for row in stack.get(ALL, **ADMIN)["data"] if row["key_id"] == "env-2"] == []
    again = stack.ask("돌리", headers=B).headers["x-request-id"]
    kept(stack, again, **B)
    assert answer("DELETE", f"{ALL}?key_id=env-1", B).json() == {"conversations": 0}
    assert answer("DELETE", f"{ALL}?key_id=env-2", ADMIN).json() == {"conversations": 1}


def test_a_raters_conversations_go_with_the_rater_and_exports_are_masked(
    stack: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KODOLLY_API_KEY", "key-b")
    named = stack.ask("돌리", "전화는 010-1234-5678", user="떠난이", headers=B).headers["x-request-id"]
    judged = stack.ask("돌리", headers=B).headers["x-request-id"]
    other = stack.ask("돌리", headers=B).headers["x-request-id"]
    stack.post(
        "/v1/feedback", {"request_id": judged, "score": 1, "rater_id": "떠난이"}, **B
    ).raise_for_status()
    kept(stack, other, **B)
    output = tmp_path / "all.jsonl"
    words = ["--gateway", stack.gateway, "--output", str(output), "--conversations"]
    assert CliRunner().invoke(export, words).exit_code == 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    (line,) = [line for line in lines if line["kind"] == "conversation" and line["id"] == named]
    assert line["messages"][0]["content"] == "전화는 [전화번호]"
    command, nowhere = ["떠난이", "--gateway", stack.gateway], {"KODOLLY_STATE_DIR": "no-web-ui"}
    gone = CliRunner().invoke(forget, command, env=nowhere)
    assert gone.output.startswith("Deleted: 0 votes, 1 ratings, 2 conversations.")
    assert [row["id"] for row in stack.get(ALL, **B)["data"]] == [other]


def test_what_is_not_to_be_kept_is_not_and_is_counted(
    stack: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.inference.conversation_log.LARGEST_BYTES", 100_000)

    def counts() -> dict[str, float]:
        text = httpx2.get(f"{stack.gateway}/metrics", trust_env=False).text
        name = "conversations_total"
        return {dict(labels)["result"]: value for (of, labels), value in samples(text).items() if of == name}

    before = counts()
    secret = "아무도 읽지 못할 말"
    picture = [{"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "text", "text": secret}]
    stack.ask("돌리", secret, store=False)
    stack.ask("돌리", messages=[{"role": "user", "content": picture}])
    stack.ask("돌리", secret * 5000)
    stack.post("/v1/completions", {"model": "돌리", "prompt": secret, "max_tokens": 4})
    assert stack.ask("없음", secret).status_code == 404
    last = stack.ask("돌리", "끝").headers["x-request-id"]
    kept(stack, last)
    more = {name: value - before[name] for name, value in counts().items() if value > before[name]}
    assert more == {"asked_not_to": 1, "not_text": 1, "too_large": 1, "kept": 1}
    assert secret not in json.dumps(stack.get(f"{ALL}?limit=10000", **ADMIN), ensure_ascii=False)


def test_without_room_or_store_answers_go_on_and_nothing_is_kept(
    stack: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreFailed("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(ConversationStore, "put", fail)
        lost = stack.ask("돌리", "하나").headers["x-request-id"]
        told = stack.post("/v1/feedback", {"request_id": lost, "score": 1}).raise_for_status().json()
    assert (told["conversation"], told["checkpoint"]) == ("not kept", V1)
    room = recorded_client.Room(most=300)
    monkeypatch.setattr("server.inference.conversation_log.Room", lambda: room)
    with in_process(tmp_path, feedback_store="all") as small:
        small.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        said = small.ask("돌리", "둘", stream=True, max_tokens=50)
        assert said.text.endswith("data: [DONE]\n\n")
        wait_for(lambda: room.taken == 0, PATIENCE_S)
        assert small.get(ALL)["data"] == []
        found = samples(httpx2.get(f"{small.gateway}/metrics", trust_env=False).text)
    assert value(found, "conversations_total", result="no_room") == 1


async def test_what_is_being_written_when_the_gateway_stops_is_written_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'a.db'}") as store:
        conversations, writing = ConversationStore(store.database), asyncio.Event()
        put = conversations.put

        async def never(_: object) -> None:
            writing.set()
            await asyncio.Event().wait()

        log = ConversationLog(conversations, 30)
        body = ThinBody(json.dumps({"messages": [USER]}).encode(), RequestHead("m"))
        room = recorded_client.Room()
        client = recorded_client.RecordedClient(ScriptedClient(), room, len(body.body))  # type: ignore[arg-type]
        client.answer(200, b"", b'{"choices": [{"message": {"content": "x"}}]}')
        record = request(request_id="r1", key_id="k", model="m")
        Recording(log, client, CHAT, body, "", "").ended(record, whole=True)
        monkeypatch.setattr(conversations, "put", never)
        stopped = asyncio.create_task(log.flush())
        await writing.wait()
        stopped.cancel()
        await asyncio.gather(stopped, return_exceptions=True)
        assert room.taken > 0
        monkeypatch.setattr(conversations, "put", put)
        found = await log.of_request(Owner("k"), "r1")
    assert (found is not None, room.taken, log.counts["kept"]) == (True, 0, 1)


def test_rated_keeps_none_and_status_says_which(tmp_path: Path, stack: InProcess) -> None:
    assert stack.get("/v1/status")["feedback_store"] == "all"
    with in_process(tmp_path) as other:
        other.worker("w1", ModelCard(name="돌리", checkpoint=V1))
        asked = other.ask("돌리").headers["x-request-id"]
        told = other.post("/v1/feedback", {"request_id": asked, "score": 1}).json()
        assert (told["conversation"], other.get("/v1/status")["feedback_store"]) == ("not kept", "rated")
        assert other.get(ALL)["data"] == []


async def test_old_ones_are_deleted(tmp_path: Path) -> None:
    def row(days: float) -> dict[str, object]:
        about: dict[str, object] = {
            "key_id": "k",
            "model": "m",
            "messages": [],
            "answer": "네",
            "arm": None,
            "checkpoint": None,
        }
        made = datetime.now(UTC) - timedelta(days=days)
        return about | {
            "id": f"r{days}",
            "created": made,
            "finish_reason": None,
            "rater_id": None,
            "session_id": None,
        }

    async with open_store(f"sqlite:///{tmp_path / 'a.db'}") as store:
        conversations = ConversationStore(store.database)
        await conversations.put([row(1), row(29), row(31), row(1)])
        await conversations.delete_older(30)
        there = [
            await conversations.of_request(Owner("k"), name) is not None for name in ("r1", "r29", "r31")
        ]
    assert there == [True, True, False]


USER = {"role": "user", "content": "수도는?"}


@pytest.mark.parametrize(
    ("route", "asked", "answer"),
    [
        (
            CHAT,
            {"messages": [USER]},
            {"choices": [{"message": {"content": "서울"}, "finish_reason": "stop"}]},
        ),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "수도는?"}]}]},
            {
                "content": [{"type": "thinking", "thinking": "음"}, {"type": "text", "text": "서울"}],
                "stop_reason": "end_turn",
            },
        ),
        (
            RESPONSES,
            {"input": "수도는?"},
            {
                "output": [
                    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "음"}]},
                    {"type": "message", "content": [{"type": "output_text", "text": "서울"}]},
                ],
                "status": "completed",
            },
        ),
    ],
)
def test_every_dialect_says_the_same(route: Route, asked: Any, answer: Any) -> None:
    found = conversation(route, json.dumps(asked).encode(), json.dumps(answer).encode(), streamed=False)
    assert (found.messages, found.answer, found.finish_reason) == ([USER], "서울", "stop")


@pytest.mark.parametrize(
    ("route", "events"),
    [
        (
            CHAT,
            [
                {"choices": [{"index": 0, "delta": {"reasoning": "음"}}]},
                {"choices": [{"index": 0, "delta": {"content": "서"}}]},
                {"choices": [{"index": 0, "delta": {"content": "울"}, "finish_reason": "length"}]},
            ],
        ),
        (
            MESSAGES,
            [
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "thinking_delta", "thinking": "음"},
                },
                {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "서울"}},
                {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
            ],
        ),
        (
            RESPONSES,
            [
                {"type": "response.reasoning_text.delta", "delta": "음", "item_id": "r", "content_index": 0},
                {"type": "response.output_text.delta", "delta": "서울", "item_id": "m", "content_index": 0},
                {"type": "response.incomplete", "response": {"status": "incomplete"}},
            ],
        ),
    ],
)
def test_every_dialects_stream_says_the_same(route: Route, events: list[dict[str, Any]]) -> None:
    field = "input" if route is RESPONSES else "messages"
    body = json.dumps({field: [USER]}).encode()
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)
    chunks = [stream[:7], stream[7:]]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks)
    found = conversation(route, body, framed, streamed=True)
    assert (found.answer, found.finish_reason) == ("서울", "length")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.booleans())
def test_what_vllm_streams_is_read_whole(tokens: list[str], ascii_only: bool) -> None:
    def event(delta: object, reason: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason, "token_ids": None}
        told = {"id": "chatcmpl-1", "object": "x", "created": 1, "model": "돌리", "choices": [choice]}
        return b"data: %b\n\n" % json.dumps(told, ensure_ascii=ascii_only, separators=(",", ":")).encode()

    events = [event({"role": "assistant", "content": ""}, None)]
    events += [event({"content": token}, None) for token in tokens]
    events += [event({"content": "."}, "stop"), b"data: [DONE]\n\n"]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in events)
    body = json.dumps({"messages": [USER]}).encode()
    found = conversation(CHAT, body, framed, streamed=True)
    assert (found.answer, found.finish_reason) == ("".join(tokens) + ".", "stop")


@pytest.mark.parametrize(
    "asked",
    [
        {"messages": [USER], "n": 2},
        {"messages": [USER, {"role": "assistant", "content": "네", "tool_calls": [{}]}, USER]},
        {"messages": [USER, {"role": "tool", "content": "3"}]},
        {"messages": [USER, {"role": "assistant", "content": "네"}]},
        {"messages": [USER, "말"]},
        {"messages": []},
        {},
    ],
)
def test_what_is_no_conversation_of_texts_is_not_kept(asked: Any) -> None:
    answer = b'{"choices": [{"message": {"content": "x"}}]}'
    with pytest.raises(NotKept, match="not_text"):
        conversation(CHAT, json.dumps(asked).encode(), answer, streamed=False)


def test_an_answer_with_a_call_of_a_tool_is_not_kept() -> None:
    body = json.dumps({"messages": [USER]}).encode()
    message = {"content": "잠깐", "tool_calls": [{"id": "1"}]}
    answers: list[Any] = [
        {"choices": [{"message": message}]},
        {"choices": []},
        [],
        {"choices": [{"message": {"content": None}}]},
    ]
    for answer in answers:
        with pytest.raises(NotKept):
            conversation(CHAT, body, json.dumps(answer).encode(), streamed=False)
    event = b"data: %b\n\n" % json.dumps({"choices": [{"delta": message}]}).encode()
    with pytest.raises(NotKept):
        conversation(CHAT, body, b"%x\r\n%b\r\n" % (len(event), event), streamed=True)
