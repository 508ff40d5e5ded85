"""The relay in front of scripted engines: truth in every failure, bytes untouched in every success."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.support.gateway_stack import Stack, gateway_stack, model_ids
from tests.support.processes import PATIENCE_S, script, wait_for
from tests.support.scripted_answers import answer_text


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with gateway_stack(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(autouse=True)
def behave(stack: Stack) -> Iterator[None]:
    for engine in stack.engines.values():
        script(engine)
    yield
    for engine in stack.engines.values():
        httpx2.post(f"{engine}/_script/release", trust_env=False)


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{stack.gateway}/v1", api_key="any", max_retries=0, timeout=PATIENCE_S
    ) as made:
        yield made


QUESTION: Any = [{"role": "user", "content": "안녕하세요"}]


def stream_text(client: openai.OpenAI, model: str, tokens: int = 6) -> str:
    chunks = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=tokens, stream=True)
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def raw(
    stack: Stack, body: bytes | dict[str, Any], path: str = "/v1/chat/completions", gateway: str = ""
) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return httpx2.post(
        f"{gateway or stack.gateway}{path}",
        content=content,
        headers=headers,
        timeout=PATIENCE_S,
        trust_env=False,
    )


def chat(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": QUESTION, "max_tokens": 6} | more


def log(engine: str) -> dict[str, Any]:
    seen: dict[str, Any] = httpx2.get(f"{engine}/_script/log", trust_env=False).json()
    return seen


def test_stream_and_plain_answers_say_the_same(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="solo", messages=QUESTION, max_tokens=6)
    assert plain.choices[0].message.content == answer_text("solo", 6) == stream_text(client, "solo")


def test_the_models_of_workers_and_of_providers_with_a_key_are_listed(stack: Stack) -> None:
    assert model_ids(stack.gateway) == ["denied", "nowhere", "outside", "solo", "twin"]
    assert httpx2.get(f"{stack.gateway}/v1/models/solo", trust_env=False).json()["id"] == "solo"


def test_a_provider_answers_under_its_own_key_and_never_sees_the_clients(
    stack: Stack, client: openai.OpenAI
) -> None:
    assert stream_text(client, "outside") == answer_text("outside", 6)
    seen = log(stack.engines["outside"])["requests"][-1]
    assert seen["path"] == "/v1/chat/completions"
    assert seen["headers"]["authorization"] == "Bearer right-key"


def test_the_body_reaches_the_engine_byte_for_byte(stack: Stack) -> None:
    body = b'{ "x":1e2,"model" :"solo","messages":[{"role":"user","content":"\\ud55c\xea\xb8\x80"}]}'
    assert raw(stack, body).status_code == 200
    assert log(stack.engines["solo"])["requests"][-1]["body"].encode() == body


def test_the_request_id_is_kept_or_made_and_reaches_the_engine(stack: Stack) -> None:
    headers = {"x-request-id": "abc-1"}
    answer = httpx2.post(
        f"{stack.gateway}/v1/chat/completions", json=chat("solo"), headers=headers, trust_env=False
    )
    assert answer.headers["x-request-id"] == "abc-1"
    assert log(stack.engines["solo"])["requests"][-1]["headers"]["x-request-id"] == "abc-1"
    evil = {"x-request-id": "a b\tc"}
    answer = httpx2.get(f"{stack.gateway}/v1/models", headers=evil, trust_env=False)
    assert answer.headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize("mode", ["status:503", "cut_at_token:0", "reset_at_token:0", "error_at_token:0"])
@pytest.mark.parametrize("broken", ["twin-a", "twin-b"])
def test_a_request_that_has_not_started_moves_to_the_other_worker(
    stack: Stack, client: openai.OpenAI, mode: str, broken: str
) -> None:
    script(stack.engines[broken], mode)
    for _ in range(4):
        assert stream_text(client, "twin") == answer_text("twin", 6)


@pytest.mark.parametrize(
    "mode", ["cut_at_token:3", "reset_at_token:3", "abort_at_token:3", "error_at_token:3", "no_done"]
)
def test_a_stream_that_breaks_ends_in_an_error_frame_and_done(stack: Stack, mode: str) -> None:
    script(stack.engines["solo"], mode)
    body = raw(stack, chat("solo", stream=True)).text
    *events, error, done, empty = body.split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    assert json.loads(error.removeprefix("data: "))["error"]["type"] == "server_error"
    assert len(events) == (6 if mode == "no_done" else 3)
    assert '"abort"' not in body


def test_the_openai_client_raises_on_a_broken_stream(stack: Stack, client: openai.OpenAI) -> None:
    script(stack.engines["solo"], "cut_at_token:2")
    with pytest.raises(openai.APIError, match="broke off"):
        stream_text(client, "solo")


def test_an_abort_before_the_first_token_is_not_a_success(stack: Stack) -> None:
    script(stack.engines["solo"], "abort_at_token:0")
    assert raw(stack, chat("solo", stream=True)).status_code == 502
    assert raw(stack, chat("solo")).status_code == 502


@pytest.mark.parametrize("mode", ["stall_before_headers", "stall_at_token:0"])
def test_a_worker_that_sends_nothing_is_a_timeout(stack: Stack, mode: str) -> None:
    script(stack.engines["solo"], mode)
    answer = raw(stack, chat("solo", stream=True), gateway=stack.hasty)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


def test_silence_in_the_middle_ends_the_stream_with_an_error(stack: Stack) -> None:
    script(stack.engines["solo"], "stall_at_token:2")
    body = raw(stack, chat("solo", stream=True), gateway=stack.restless).text
    assert '"upstream_timeout"' in body
    assert body.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("mode", ["stall_before_headers", "stall_at_token:0", "stall_at_token:3"])
def test_a_client_that_leaves_stops_the_engine(stack: Stack, mode: str) -> None:
    script(stack.engines["solo"], mode)
    before = log(stack.engines["solo"])["cancelled"]
    body = json.dumps(chat("solo", stream=True)).encode()
    port = int(stack.gateway.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: log(stack.engines["solo"])["running"] == 1, 5, what="the engine to be asked")
    wait_for(lambda: log(stack.engines["solo"])["cancelled"] == before + 1, 2, what="the cancel")
    assert log(stack.engines["solo"])["running"] == 0


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("denied", 502, "upstream_auth_failed"),
        ("nowhere", 502, "upstream_failed"),
        ("keyless", 404, "model_not_found"),
        ("sol", 404, "model_not_found"),
    ],
)
def test_each_failure_has_its_own_status_and_code(stack: Stack, model: str, status: int, code: str) -> None:
    answer = raw(stack, chat(model))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    for secret in ("right-key", "wrong-key", stack.engines["outside"], "127.0.0.1"):
        assert secret not in answer.text


def test_a_client_error_from_the_engine_is_passed_on_and_not_retried(stack: Stack) -> None:
    for engine in ("twin-a", "twin-b"):
        script(stack.engines[engine], "status:400")
    before = sum(len(log(stack.engines[e])["requests"]) for e in ("twin-a", "twin-b"))
    answer = raw(stack, chat("twin"))
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "scripted",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert sum(len(log(stack.engines[e])["requests"]) for e in ("twin-a", "twin-b")) == before + 1


@pytest.mark.parametrize(
    ("encoding", "mark"), [("cp949", b""), ("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe")]
)
def test_a_body_as_windows_writes_it_is_refused_with_a_way_out(
    stack: Stack, encoding: str, mark: bytes
) -> None:
    before = len(log(stack.engines["solo"])["requests"])
    said = {"model": "solo", "messages": [{"role": "user", "content": "안녕하세요"}]}
    body = mark + json.dumps(said, ensure_ascii=False).encode(encoding)
    url, headers = f"{stack.gateway}/v1/chat/completions", {"content-type": "application/json"}
    answer = httpx2.post(url, content=body, headers=headers, trust_env=False)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_json")
    assert "UTF-8" in error["message"]
    assert len(log(stack.engines["solo"])["requests"]) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/chat/completions", b"{", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"\xff\xfe", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"[1]", 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400, "invalid_json"),
        ("POST", "/v1/chat/completions", b"{}", 400, "missing_required_parameter"),
        ("POST", "/v1/completions", b'{"model": 7}', 400, "invalid_value"),
        ("POST", "/v1/embeddings", b'{"model": "none"}', 404, "model_not_found"),
        ("POST", "/v1/embeddings", b'{"model": "solo"}', 404, "unsupported_endpoint"),
        ("GET", "/v1/chat/completions", b"", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", b"", 405, "method_not_allowed"),
        ("GET", "/v1/nothing", b"", 404, "not_found"),
        ("GET", "/v1/models/none/at/all", b"", 404, "model_not_found"),
        ("POST", "/v1/prompt", b"{", 400, "invalid_json"),
        ("POST", "/v1/prompt", b'{"model": "solo"}', 400, "invalid_value"),
        ("PUT", "/v1/feedback/votes/not-a-uuid", b"{}", 400, "invalid_value"),
        ("PUT", "/v1/feedback/ratings/7b0a8f0e-9b7e-4f47-9f4e-3d1f3c1b2a10", b"{}", 400, "invalid_value"),
        ("GET", "/v1/feedback/votes?limit=0", b"", 400, "invalid_value"),
    ],
)
def test_bad_requests_get_the_openai_error_object(
    stack: Stack, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = httpx2.request(method, f"{stack.gateway}{path}", content=body, headers=headers, trust_env=False)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/prompt"),
        ("PUT", "/v1/feedback/votes/7b0a8f0e-9b7e-4f47-9f4e-3d1f3c1b2a10"),
    ],
)
def test_a_body_that_is_too_large_is_refused(stack: Stack, method: str, path: str) -> None:
    port = int(stack.gateway.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: 99999999\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")  # although the body never came
    pieces = (b" " * 1_000_000 for _ in range(17))  # no length announced: sent in chunks
    answer = httpx2.request(
        method,
        f"{stack.gateway}{path}",
        content=pieces,
        headers={"content-type": "application/json"},
        trust_env=False,
        timeout=PATIENCE_S,
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


def test_prompt_preview_comes_from_the_engine(stack: Stack) -> None:
    body = {"model": "solo", "messages": QUESTION}
    assert raw(stack, body, "/v1/prompt").json() == {"prompt": "[user]안녕하세요", "token_count": 11}
    answer = raw(stack, body | {"model": "outside"}, "/v1/prompt")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "prompt_unavailable")


def test_status_is_answered_from_memory(stack: Stack) -> None:
    status = httpx2.get(f"{stack.gateway}/v1/status", trust_env=False).json()
    states = {model["id"]: (model["kind"], model["state"]) for model in status["models"]}
    assert states["solo"] == ("worker", "ready")
    assert states["outside"] == ("external", "ready")
    assert status["controller_connected"] is True
    providers = {p["name"]: p["configured"] for p in status["providers"]}
    assert providers == {"openai": True, "denied": True, "nowhere": True, "keyless": False}


def test_docs_load_nothing_from_elsewhere(stack: Stack) -> None:
    page = httpx2.get(f"{stack.gateway}/docs", trust_env=False).text
    assert "swagger-ui" in page
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert "https://" not in page


def test_no_key_prompt_or_answer_is_in_the_log(stack: Stack, client: openai.OpenAI) -> None:
    stream_text(client, "outside")
    written = Path(stack.log).read_text(encoding="utf-8")
    for secret in ("right-key", "wrong-key", "안녕하세요", "outside-0"):
        assert secret not in written
