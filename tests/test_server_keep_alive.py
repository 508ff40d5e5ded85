"""`gateway.keep_alive_s`: what a waiting stream is sent, and what becomes of its answer."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import pytest

from tests.support.conformance.endpoint import Engine, tls
from tests.support.conformance.wire import parse_events
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for
from tests.support.scripted_answers import answer_text

TOKEN = "test-join-token"
QUESTION: list[Any] = [{"role": "user", "content": "안녕하세요"}]
CHAT: dict[str, Any] = {"model": "dolly", "messages": QUESTION, "max_tokens": 4, "stream": True}
SIGNS = {
    "/v1/chat/completions": ": keep-alive",
    "/v1/responses": ": keep-alive",
    "/v1/messages": 'data: {"type": "ping"}',
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"model": "dolly", "input": "안녕", "max_output_tokens": 4, "stream": True},
    "/v1/messages": CHAT,
}


@dataclass(frozen=True)
class Site:
    gateway: str
    engines: tuple[Engine, Engine]
    client: httpx2.Client

    def script(self, *modes: str) -> None:
        for engine, mode in zip(self.engines, modes, strict=True):
            engine.script(mode)

    def release(self) -> None:
        for engine in self.engines:
            engine.release()

    def stream(self, path: str) -> Any:
        return self.client.stream("POST", self.gateway + path, json=BODIES[path])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cwd = tmp_path_factory.mktemp("keep-alive")
    with ExitStack() as stack:
        engines = [stack.enter_context(scripted_engine(cwd, "dolly")) for _ in range(2)]
        gateway = f"http://127.0.0.1:{free_port()}"
        env = {"KODOLLY_STATE_DIR": str(cwd / "state"), "KODOLLY_GATEWAY_KEEP_ALIVE_S": "0.2"}
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2])
        for engine in engines:
            argv += ["--static", f"dolly={engine}"]
        stack.enter_context(running(argv, cwd / "gateway.log", f"{gateway}/healthz", env, cwd))
        client = stack.enter_context(httpx2.Client(verify=tls(), trust_env=False, timeout=PATIENCE_S))
        status = f"{gateway}/v1/status"
        wait_for(lambda: '"workers":2' in client.get(status).text.replace(" ", ""), 10, what="both engines")
        yield Site(gateway, (Engine(engines[0]), Engine(engines[1])), client)


@pytest.mark.parametrize("path", BODIES)
def test_a_waiting_stream_shows_that_it_lives_and_then_is_the_same_answer(site: Site, path: str) -> None:
    site.script("ok", "ok")
    with site.stream(path) as answer:
        plain = b"".join(answer.iter_raw())
    site.script("stall_before_headers", "stall_before_headers")
    signs = 0
    body = b""
    with site.stream(path) as answer:
        assert answer.status_code == 200
        for part in answer.iter_raw():
            body += part
            signs = body.decode().count(SIGNS[path])
            if signs == 2:
                site.release()
    assert signs >= 2
    told, expected = (
        [event.name for event in parse_events(each) if event.name != "ping" and "ping" not in event.data]
        for each in (body, plain)
    )
    assert told == expected


def test_a_plain_request_is_sent_nothing_before_its_answer(site: Site) -> None:
    site.script("status:500", "status:500")
    answer = site.client.post(f"{site.gateway}/v1/chat/completions", json=CHAT | {"stream": False})
    assert answer.status_code >= 500


def waits_then_fails(site: Site, path: str) -> str:
    """A stream whose engines stall until a sign has come, and break off before their first event."""
    site.script("stall_before_headers", "stall_before_headers")
    body = b""
    with site.stream(path) as answer:
        for part in answer.iter_raw():
            if not body:
                site.script("cut_at_token:0", "cut_at_token:0")
                site.release()
            body += part
    assert b"HTTP/1.1" not in body, "a second status line"
    return body.decode()


@pytest.mark.parametrize("path", BODIES)
def test_a_failure_after_a_sign_of_life_ends_the_stream_in_an_error(site: Site, path: str) -> None:
    body = waits_then_fails(site, path)
    names = [
        event.json().get("type", "chunk") for event in parse_events(body.encode()) if event.data != "[DONE]"
    ]
    assert SIGNS[path] in body
    assert {"/v1/responses": "response.failed", "/v1/messages": "error"}.get(path, "chunk") == names[-1]
    assert '"error"' in body


def test_official_clients_read_what_was_held_and_raise_on_what_failed(site: Site) -> None:
    import anthropic

    common: dict[str, Any] = {"api_key": "any", "max_retries": 0, "timeout": PATIENCE_S}
    transport: dict[str, Any] = {"verify": tls(), "trust_env": False}
    ours = openai.OpenAI(
        base_url=f"{site.gateway}/v1", http_client=openai.DefaultHttpxClient(**transport), **common
    )
    claude = anthropic.Anthropic(
        base_url=site.gateway, http_client=anthropic.DefaultHttpxClient(**transport), **common
    )
    with ours, claude:
        for mode in ("ok", "cut_at_token:0"):
            asks: list[Callable[[], Any]] = [
                lambda: ours.chat.completions.create(**CHAT),
                lambda: ours.responses.create(**BODIES["/v1/responses"]),
                lambda: claude.messages.create(**CHAT),
            ]
            for ask in asks:
                site.script("stall_before_headers", "stall_before_headers")
                stream = ask()  # returns with the first sign of life
                site.script(mode, mode)
                site.release()
                if mode == "ok":
                    assert answer_text("dolly", 4).split()[0] in str(list(stream))
                else:
                    with pytest.raises((openai.APIError, anthropic.APIError)):
                        list(stream)


def test_a_held_stream_still_moves_to_a_worker_that_can_answer(site: Site) -> None:
    """Comments are no part of an answer: the request has not begun."""
    site.script("stall_before_headers", "stall_before_headers")
    body = b""
    with site.stream("/v1/chat/completions") as answer:
        for part in answer.iter_raw():
            if not body:
                asked = next(engine for engine in site.engines if engine.running())
                other = next(engine for engine in site.engines if engine is not asked)
                other.script("ok")
                asked.script("reset_at_token:0")
                asked.release()
            body += part
    said = "".join(
        event.json()["choices"][0]["delta"].get("content", "")
        for event in parse_events(body)
        if event.data != "[DONE]"
    )
    assert said == answer_text("dolly", 4)
