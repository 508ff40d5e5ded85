"""A base URL with /v1 twice, without it, or a slash too many: clear cases work, others are told."""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from server.client.routes import ROUTES, canonical_path
from tests.support.processes import free_port, kodolly, running, scripted_engine

CHAT = {"model": "dolly", "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 3}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tmp = tmp_path_factory.mktemp("base-url")
    url = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as started:
        engine = started.enter_context(scripted_engine(tmp, "dolly"))
        argv = kodolly("gateway", "--port", url.rpartition(":")[2], "--static", f"dolly={engine}")
        env = {"KODOLLY_STATE_DIR": str(tmp / "state")}
        started.enter_context(running(argv, tmp / "gateway.log", f"{url}/healthz", env, tmp))
        yield url


@pytest.mark.parametrize(
    "path",
    ["/v1/v1/chat/completions", "/chat/completions", "//v1//chat/completions", "/v1/chat/completions/"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_is_answered(gateway: str, path: str, stream: bool) -> None:
    answer = httpx2.post(gateway + path, json=CHAT | {"stream": stream}, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert ("data: [DONE]" in answer.text) == stream


@pytest.mark.parametrize("path", ["/v1/v1/messages", "/messages", "/v1/messages/"])
def test_a_message_is_answered(gateway: str, path: str) -> None:
    answer = httpx2.post(gateway + path, json=CHAT, trust_env=False)
    assert (answer.status_code, answer.json()["type"]) == (200, "message")


@pytest.mark.parametrize(
    "path", ["/v1//models", "/v1/v1/models", "/models", "/v1/models/", "//v1/models//dolly"]
)
def test_models_are_listed(gateway: str, path: str) -> None:
    answer = httpx2.get(gateway + path, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert "dolly" in answer.text


@pytest.mark.parametrize(
    "path", ["/openai/chat/completions", "/v2/chat/completions", "/v1/chat", "/api/generate"]
)
def test_what_has_no_route_is_told_how_base_urls_end(gateway: str, path: str) -> None:
    answer = httpx2.post(gateway + path, json=CHAT, trust_env=False)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (404, "not_found", "invalid_request_error")
    assert error["message"].startswith(f"There is no route {path}. The base URL")


def test_anthropics_clients_are_told_in_their_own_shape(gateway: str) -> None:
    answer = httpx2.post(f"{gateway}/api/v1/messages", json=CHAT, trust_env=False)
    body = answer.json()
    assert (answer.status_code, body["type"], body["error"]["type"]) == (404, "error", "not_found_error")
    assert "ends before it" in body["error"]["message"]


def test_the_root_answers_those_who_look(gateway: str) -> None:
    assert httpx2.head(gateway, trust_env=False).status_code == 200
    assert httpx2.get(gateway, trust_env=False).json()["api"] == "/v1"


@pytest.mark.parametrize(
    "path", [*ROUTES, "/v1/models/a//b/", "/v1/status", "/", "/admin//keys", "/metrics", "/v1"]
)
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert canonical_path(path) == path


def test_a_stored_response_is_found_past_slashes() -> None:
    assert canonical_path("/v1/v1/responses/resp_1/cancel/") == "/v1/responses/resp_1/cancel"
    assert canonical_path("/responses/resp_1") == "/v1/responses/resp_1"
