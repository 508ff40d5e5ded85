"""Votes and ratings, keys, and a gateway that outlives its controller; all over HTTP."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from kodolly.clients.feedback_pages import fetch_feedback
from tests.support.gateway_stack import TOKEN, member, model_ids
from tests.support.processes import (
    NO_ENGINE,
    PATIENCE_S,
    free_port,
    kodolly,
    running,
    scripted_engine,
    wait_for,
)


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, state_dir: Path) -> Iterator[str]:
    tmp_path = tmp_path_factory.mktemp("gateway")
    port = free_port()
    env = {"KODOLLY_STATE_DIR": str(state_dir), "KODOLLY_API_KEYS": '["key-one", "key-two"]'}
    env["KODOLLY_ADMIN_TOKEN"] = "admin-token"
    argv = kodolly("gateway", "--port", str(port), *NO_ENGINE)
    with running(argv, tmp_path / "log", f"http://127.0.0.1:{port}/healthz", env, tmp_path):
        yield f"http://127.0.0.1:{port}"


def put(gateway: str, path: str, body: Any, key: str = "key-one") -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.put(f"{gateway}/v1/feedback/{path}", json=body, headers=headers, trust_env=False)


def answer(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "돌리는 누구인가요?"}],
        "answer": f"{model}의 답입니다.",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64},
        "finish_reason": "stop",
        "ttft_ms": 12.5,
        "tokens": 7,
        "tokens_per_s": 40.0,
        "request_id": "req-1",
    }


def rows(state_dir: Path, table: str) -> list[dict[str, Any]]:
    with sqlite3.connect(state_dir / "kodolly.db") as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608 a constant
    database.close()
    return found


def test_a_vote_is_stored_once_and_the_same_id_replaces_it(gateway: str, state_dir: Path) -> None:
    vote_id = str(uuid.uuid4())
    vote = {"choice": "tie", "left": answer("base"), "right": answer("dolly"), "blind": True, "locale": "ko"}
    assert put(gateway, f"votes/{vote_id}", vote).json() == {"id": vote_id}
    put(gateway, f"votes/{vote_id}", vote | {"choice": "right"}).raise_for_status()
    (row,) = rows(state_dir, "votes")
    assert (row["choice"], row["blind"], row["left_model"], row["right_model"]) == (
        "right",
        1,
        "base",
        "dolly",
    )
    assert "돌리는 누구인가요?" in row["left"]
    assert json.loads(row["right"]) == answer("dolly") | {"checkpoint": None, "arm": None}


def test_the_votes_of_one_comparison_are_stored_as_such(gateway: str) -> None:
    together, sides = str(uuid.uuid4()), {"left": answer("base"), "right": answer("dolly")}
    vote = {"choice": "tie", **sides, "blind": True, "locale": "ko"}
    put(gateway, f"votes/{uuid.uuid4()}", vote | {"comparison": together}).raise_for_status()
    put(gateway, f"votes/{uuid.uuid4()}", vote).raise_for_status()
    headers = {"authorization": "Bearer key-one"}
    listed = httpx2.get(f"{gateway}/v1/feedback/votes", headers=headers, trust_env=False).json()["data"]
    assert {row["comparison"] for row in listed} == {together, None}
    assert put(gateway, f"votes/{uuid.uuid4()}", vote | {"comparison": "x"}).status_code == 400


def test_a_rating_is_stored_and_listed(gateway: str) -> None:
    rating = {"score": 4, "tags": ["tone", "verbose"], "answer": answer("dolly")}
    put(gateway, f"ratings/{uuid.uuid4()}", rating).raise_for_status()
    headers = {"authorization": "Bearer key-one"}
    listed = httpx2.get(f"{gateway}/v1/feedback/ratings", headers=headers, trust_env=False).json()["data"]
    assert [(row["score"], row["tags"], row["model"]) for row in listed] == [
        (4, ["tone", "verbose"], "dolly")
    ]


def test_the_commands_follow_the_pages_to_their_end(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rating = {"score": 5, "answer": answer("전")}
    ids = [str(uuid.uuid4()) for _ in range(5)]
    for one in ids:
        put(gateway, f"ratings/{one}", rating, "key-two").raise_for_status()
    monkeypatch.setattr("kodolly.clients.feedback_pages.PAGE", 2)
    monkeypatch.setenv("KODOLLY_API_KEY", "key-two")
    assert [row["id"] for row in fetch_feedback(gateway, "ratings")] == ids[::-1]
    monkeypatch.setenv("KODOLLY_ADMIN_TOKEN", "admin-token")
    assert {row["key_id"] for row in fetch_feedback(gateway, "ratings")} == {"env-1", "env-2"}


@pytest.mark.parametrize(
    "said",
    [
        b'{"ttft_ms": NaN}',
        b'{"ttft_ms": 1e999}',
        b'{"tokens_per_s": -Infinity}',
        b'{"answer": "\\ud800"}',
        b'{"answer": "\xed\xa0\x80"}',
        b'{"answer": "\xb4\xe4"}',
        '{"answer": "답"}'.encode("utf-16"),
        b"[" * 40_000,
    ],
)
def test_what_python_alone_takes_for_json_is_refused(gateway: str, said: bytes) -> None:
    """Before, one such rating ended every look at the results, or the request in 500."""
    body = json.dumps({"score": 3, "answer": answer("dolly") | {"ttft_ms": "SAID"}}).encode()
    name, value = said[1:-1].split(b": ", 1) if said.startswith(b"{") else (b'"ttft_ms"', said)
    whole = body.replace(b'"ttft_ms": "SAID"', name + b": " + value)
    headers = {"authorization": "Bearer key-one", "content-type": "application/json"}
    url = f"{gateway}/v1/feedback/ratings/{uuid.uuid4()}"
    refused = httpx2.put(url, content=whole, headers=headers, trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")
    board = httpx2.get(f"{gateway}/v1/leaderboard", headers=headers, trust_env=False)
    assert board.status_code == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"score": 6}, "score"),
        ({"tags": ["nice"]}, "tags.0"),
        ({"answer": {}}, "answer.model"),
        ({"x": 1}, "x"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(gateway: str, change: dict[str, Any], param: str) -> None:
    rating = {"score": 4, "answer": answer("dolly")} | change
    refused = put(gateway, f"ratings/{uuid.uuid4()}", rating)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/status", "/v1/feedback/votes", "/v1/chat/completions"])
@pytest.mark.parametrize("key", ["", "Bearer wrong", "Bearer key-on", "key-one"])
def test_every_route_asks_for_the_key(gateway: str, path: str, key: str) -> None:
    method = "POST" if path.endswith("completions") else "GET"
    headers = {"authorization": key} if key else {}
    refused = httpx2.request(method, f"{gateway}{path}", headers=headers, content=b"{}", trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "wrong" not in refused.text


def test_a_database_that_cannot_be_opened_is_one_clear_line(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "kodolly.db").mkdir()  # a directory in the database's place: it cannot be opened
    argv = kodolly("gateway", "--port", str(port), *NO_ENGINE)
    log = tmp_path / "log"
    with running(argv, log, cwd=tmp_path, env={"KODOLLY_STATE_DIR": str(tmp_path / "state")}) as process:
        wait_for(lambda: process.poll() is not None, 30, what="the gateway to give up")
    text = log.read_text(encoding="utf-8")
    assert process.returncode == 2
    assert "cannot be opened" in text
    assert "Traceback" not in text


def test_the_gateway_serves_on_without_its_controller_also_after_a_restart(tmp_path: Path) -> None:
    controller_port, port = free_port(), free_port()
    controller, gateway = f"http://127.0.0.1:{controller_port}", f"http://127.0.0.1:{port}"
    env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp_path / "state")}
    body = {"model": "dolly", "messages": [{"role": "user", "content": "안녕"}]}
    start_gateway = kodolly("gateway", "--port", str(port), "--controller", controller)
    start_controller = kodolly("controller", "--port", str(controller_port))
    log = tmp_path / "gateway.log"
    with scripted_engine(tmp_path, "dolly", "engine-key") as engine:
        worker = member(controller, engine, "w", "dolly")
        worker.registration = worker.registration.model_copy(update={"engine_key": SecretStr("engine-key")})
        with running(start_gateway, log, f"{gateway}/healthz", env, tmp_path):
            with running(start_controller, tmp_path / "c.log", f"{controller}/healthz", env, tmp_path):
                with worker.kept():
                    wait_for(lambda: model_ids(gateway) == ["dolly"], 15, what="the model")
            again = httpx2.post(f"{gateway}/v1/chat/completions", json=body, trust_env=False)
            assert again.status_code == 200
            # The copy is written after the gateway goes by it.
            snapshot = tmp_path / "state" / f"workers-{port}.json"
            wait_for(snapshot.exists, PATIENCE_S, what="the copy")
            wait_for(
                lambda: '"ready"' in snapshot.read_text(encoding="utf-8"), PATIENCE_S, what="the worker in it"
            )
        assert snapshot.stat().st_mode & 0o777 == 0o600
        with running(start_gateway, log, f"{gateway}/healthz", env, tmp_path):
            assert model_ids(gateway) == ["dolly"]
            again = httpx2.post(f"{gateway}/v1/chat/completions", json=body, trust_env=False)
            assert again.status_code == 200
    assert "engine-key" not in log.read_text(encoding="utf-8")
