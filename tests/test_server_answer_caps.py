"""What an upstream may send: an endless event or answer ends in an error and holds nobody up, and so does
what is no answer, however it is written."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

from server.inference import sse
from tests.support.conformance.endpoint import Engine, tls
from tests.support.conformance.wire import parse_events
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for

QUESTION: list[Any] = [{"role": "user", "content": "안녕하세요"}]
CHAT: dict[str, Any] = {"model": "dolly", "messages": QUESTION, "stream": True}
MOST = 100_000
DONE = b"data: [DONE]\n\n"


def event(content: Any, **fields: Any) -> bytes:
    chunk = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "dolly"}
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return b"data: %b\n\n" % json.dumps(chunk | {"choices": [choice]} | fields).encode()


@dataclass(frozen=True)
class Site:
    gateway: str
    engine: Engine
    client: httpx2.Client

    def stream(self, recorded: bytes, cuts: list[int] | None = None) -> httpx2.Response:
        """What the client gets when the engine sends this."""
        self.engine.replay(recorded)
        return self.client.post(f"{self.gateway}/v1/chat/completions", json=CHAT | {"x_cuts": cuts or []})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cwd = tmp_path_factory.mktemp("caps")
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(cwd, "dolly"))
        gateway = f"http://127.0.0.1:{free_port()}"
        env = {"KODOLLY_STATE_DIR": str(cwd / "state"), "KODOLLY_GATEWAY_MAX_ANSWER_BYTES": str(MOST)}
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--static", f"dolly={engine}")
        stack.enter_context(running(argv, cwd / "gateway.log", f"{gateway}/healthz", env, cwd))
        client = stack.enter_context(httpx2.Client(verify=tls(), trust_env=False, timeout=PATIENCE_S))
        wait_for(lambda: "dolly" in client.get(f"{gateway}/v1/models").text, 10, what="the engine")
        yield Site(gateway, Engine(engine), client)


def test_a_plain_answer_may_be_as_large_as_the_setting_says(site: Site) -> None:
    site.engine.script()
    body = {"model": "dolly", "messages": QUESTION, "max_tokens": 100}
    url = f"{site.gateway}/v1/chat/completions"
    assert site.client.post(url, json=body).status_code == 200
    answer = site.client.post(url, json=body | {"max_tokens": 4000, "n": 2})
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert error["code"] == "upstream_broke_off"
    assert "100,000 bytes" in error["message"]


def test_an_event_that_never_ends_is_an_error_before_and_after_the_first(site: Site) -> None:
    endless = b'data: {"x": "' + b"x" * sse.MAX_EVENT_BYTES
    answer = site.stream(endless)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broke_off")
    begun = event("가")
    answer = site.stream(begun + endless, [len(begun)])
    assert answer.status_code == 200
    first, error, done = parse_events(answer.content)
    assert (first.raw, done.data) == (begun, "[DONE]")
    assert error.json()["error"]["code"] == "upstream_broke_off"
    with openai.OpenAI(
        base_url=f"{site.gateway}/v1",
        api_key="any",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=tls(), trust_env=False),
    ) as client:
        with pytest.raises(openai.APIError, match="16 MiB"):
            list(client.chat.completions.create(**CHAT))


def test_pictures_in_one_event_pass_whole_one_after_the_other(site: Site) -> None:
    """The client takes longer than the engine: that must not hold back the engine's next answer."""
    for size in (1 << 20, 4 << 20, 4 << 20, sse.MAX_EVENT_BYTES - 1000):
        stream = event("가") + event("A" * size) + event("나") + DONE
        assert site.stream(stream).content == stream


def test_a_large_event_is_still_known_for_an_error_or_an_end(site: Site) -> None:
    broken = event("A" * 2_000_000, error={"message": "boom", "code": 500})
    *_, error, done = parse_events(site.stream(event("가") + broken + DONE).content)
    assert ("error" in error.json(), done.data) == (True, "[DONE]")
    assert len(error.raw) < 1000
    assert site.stream(broken + DONE).status_code == 502


def test_an_event_of_very_many_values_is_not_searched_for_an_error(site: Site) -> None:
    many = event([0] * 400_000, error={"message": "boom"})
    answer = site.stream(many + DONE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broke_off")


@pytest.mark.parametrize("comments", [100, 100_000])
def test_comments_before_the_first_event_are_kept_up_to_a_limit(site: Site, comments: int) -> None:
    stream = b": keep-alive\n\n" * comments + event("가") + DONE
    told = site.stream(stream).content
    assert told.endswith(event("가") + DONE)
    assert len(told) <= 4096 + (1 << 18) + len(event("가") + DONE)  # and what came in one read with the event
    assert stream.endswith(told)


FAILURES: list[tuple[dict[str, Any], int, str]] = [
    ({"error": {"message": "boom", "code": 500}}, 502, "upstream_failed"),
    ({"error": "out of memory"}, 502, "upstream_failed"),
    (
        {"object": "error", "message": "boom", "type": "InternalServerError", "code": 500},
        502,
        "upstream_failed",
    ),
    ({"object": "error", "message": "too long", "code": 400}, 400, ""),
    ({"error": {"message": "no", "code": "content_filter", "status": 400}}, 400, "content_filter"),
    ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, 429, "rate_limit_exceeded"),
    ({"error": {"message": "slow down", "code": "429"}}, 429, "429"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 503, "overloaded"),
    ({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}, 400, ""),
]
"""How servers say with status 200 that they failed: OpenAI, FastChat and old vLLMs, Azure, Anthropic."""


@pytest.mark.parametrize(("said", "status", "code"), FAILURES)
def test_a_failure_with_status_200_is_told_as_one(
    site: Site, said: dict[str, Any], status: int, code: str
) -> None:
    failure = b"data: %b\n\n" % json.dumps(said).encode()
    first = site.stream(failure + DONE)
    assert first.status_code == status
    if code:
        assert first.json()["error"]["code"] == code
    begun, error, done = parse_events(site.stream(event("가") + failure + DONE).content)
    assert (begun.raw, done.data) == (event("가"), "[DONE]")
    assert error.json()["error"] == first.json()["error"]
    assert plain(site, json.dumps(said).encode()).status_code == status


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_a_reason_to_finish_that_is_a_failure_is_told_as_one(site: Site, reason: str) -> None:
    choice = {"index": 0, "delta": {}, "finish_reason": reason}
    broken = b"data: %b\n\n" % json.dumps({"id": "a", "choices": [choice]}).encode()
    *_, error, _ = parse_events(site.stream(event("가") + broken + DONE).content)
    assert error.json()["error"]["code"] == "upstream_broke_off"


def plain(site: Site, body: bytes) -> httpx2.Response:
    """What the client gets when the engine answers this in one piece."""
    site.engine.script("bytes", replay=base64.b64encode(body).decode())
    return site.client.post(f"{site.gateway}/v1/chat/completions", json=CHAT | {"stream": False})


WHOLE = b'{"id": "a", "choices": [{"message": {"content": "\xec\x95\x88"}, "finish_reason": "stop"}]}'


@pytest.mark.parametrize(
    "body", [b"", b" \n", WHOLE[:-1], WHOLE[:40], b"Internal Server Error", b"{'id': 1}x"]
)
def test_what_is_no_whole_answer_is_no_answer(site: Site, body: bytes) -> None:
    answer = plain(site, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_failed")


@pytest.mark.parametrize("body", [WHOLE, b"\xef\xbb\xbf" + WHOLE + b"\n", b"\n" + WHOLE])
def test_blanks_and_a_byte_order_mark_around_an_answer_stay(site: Site, body: bytes) -> None:
    answer = plain(site, body)
    assert (answer.status_code, answer.content) == (200, body)
