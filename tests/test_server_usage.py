"""What the ledger is told of answers that count oddly, not at all, or that nobody waits for."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.inference.usage import MOST_TOKENS, TokenCounts, counts_in, counts_of, estimated_answer_tokens
from tests.support.processes import free_port, kodolly, running, wait_for
from tests.support.quiet_handler import QuietHandler, answering

TEXT = "한국어로 답합니다. " * 20
QUESTION = "이 글을 요약해 주세요. " * 20
NONSENSE: list[Any] = [
    None,
    [],
    "many",
    {"prompt_tokens": "9", "completion_tokens": "7"},
    {"prompt_tokens": -1, "completion_tokens": -5},
    {"prompt_tokens": 2**53 + 2, "completion_tokens": 2**80},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": [1], "completion_tokens": {"a": 1}},
    {"type": "duration", "seconds": 3},
]
GOOD: list[Any] = [
    {"prompt_tokens": 11.0, "completion_tokens": 7.0},
    {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": []},
    {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": None}},
    {"prompt_tokens": 11, "total_tokens": 18},
    {"completion_tokens": 7, "total_tokens": 18},
    {"input_tokens": 11, "output_tokens": 7, "input_tokens_details": "none"},
    {"prompt_tokens": None, "input_tokens": 11, "output_tokens": 7},
]
WORDS = {f"good-{n}": usage for n, usage in enumerate(GOOD)} | {
    f"nonsense-{n}": usage for n, usage in enumerate(NONSENSE)
}
MODELS = [*WORDS, "stalls", "messages", "begins"]

NAMES = "prompt_tokens completion_tokens total_tokens prompt_tokens_details cached_tokens usage message"
VALUES = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3)
USAGE = st.recursive(
    VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES.split()), inner)
)


@dataclass
class Upstream:
    """An engine whose counts are those of WORDS; `stalls` answers nothing, `messages` only begins to."""

    asked: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                models = [{"id": model, "object": "model"} for model in MODELS]
                self.answer(json.dumps({"object": "list", "data": models}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.asked.append(body["model"])
                if body["model"] == "stalls":
                    upstream.release.wait()
                elif body["model"] == "messages":
                    self.begin_message()
                elif body["model"] == "begins":
                    self.begin_stream()
                elif body.get("stream"):
                    self.answer(
                        stream_of(WORDS[body["model"]]), headers={"content-type": "text/event-stream"}
                    )
                else:
                    whole = {"choices": [{"message": {"content": TEXT}}], "usage": WORDS[body["model"]]}
                    self.answer(json.dumps(whole).encode())

            def begin_stream(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.wfile.write(b": no event yet\n\n")
                self.wfile.flush()
                upstream.asked.append("begun")
                upstream.release.wait()
                self.close_connection = True

            def begin_message(self) -> None:
                start = {"usage": {"input_tokens": 556, "output_tokens": 0}}
                events = event(start | {"type": "message_start", "message": start})
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                self.wfile.write(b"event: message_start\n" + events)
                delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "안"}}
                self.wfile.write(b"event: content_block_delta\n" + event(delta))
                self.wfile.flush()
                upstream.release.wait()
                self.close_connection = True

        return Handler


def event(payload: Any) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def stream_of(usage: Any) -> bytes:
    pieces = [event({"choices": [{"delta": {"content": word}}]}) for word in TEXT.split()]
    return b"".join([*pieces, event({"choices": [], "usage": usage}), b"data: [DONE]\n\n"])


@dataclass(frozen=True)
class Site:
    gateway: str
    upstream: Upstream
    client: httpx2.Client

    def ask(self, model: str, path: str = "/v1/chat/completions", **fields: Any) -> httpx2.Response:
        body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 99}
        return self.client.post(self.gateway + path, json=body | fields)

    def booked(self, model: str, outcome: str, count: int) -> dict[str, Any]:
        """The model's row, once so many requests have ended so."""

        def row() -> dict[str, Any]:
            data = self.client.get(f"{self.gateway}/v1/usage").json()["data"]
            return next((row for row in data if row["model"] == model), {})

        wait_for(lambda: row().get(outcome) == count, 10, what=f"the ledger of {model}")
        return row()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cwd = tmp_path_factory.mktemp("usage")
    gateway = f"http://127.0.0.1:{free_port()}"
    upstream = Upstream()
    server = ThreadingHTTPServer(("127.0.0.1", 0), upstream.handler())
    server.daemon_threads = True
    with ExitStack() as stack:
        engine = stack.enter_context(answering(server))
        stack.callback(upstream.release.set)
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2])
        for model in MODELS:
            argv += ["--static", f"{model}={engine}"]
        env = {"KODOLLY_STATE_DIR": str(cwd / "state")}
        stack.enter_context(running(argv, cwd / "gateway.log", f"{gateway}/healthz", env, cwd))
        client = stack.enter_context(httpx2.Client(trust_env=False, timeout=60))
        models = f"{gateway}/v1/models"
        wait_for(lambda: "stalls" in client.get(models).text, 10, what="the engine")
        yield Site(gateway, upstream, client)


def test_odd_counts_are_taken_and_nonsense_is_estimated(site: Site) -> None:
    for model in WORDS:
        assert site.ask(model).status_code == 200
        assert site.ask(model, stream=True).text.rstrip().endswith("[DONE]")
    for model in WORDS:
        row = site.booked(model, "ok", 2)
        if model.startswith("good"):
            assert (row["prompt_tokens"], row["completion_tokens"]) == (22, 14), model
            assert row["estimated_tokens"] == 0, model
        else:
            assert 2 * 100 < row["prompt_tokens"] < 2 * 1000, model
            assert 100 < row["completion_tokens"] < 600, model
            assert row["estimated_tokens"] == row["prompt_tokens"] + row["completion_tokens"], model


def test_a_cancelled_messages_stream_is_booked_with_the_prompt_that_was_counted(site: Site) -> None:
    body = {"model": "messages", "max_tokens": 99, "messages": [{"role": "user", "content": "x" * 9000}]}
    with httpx2.stream(
        "POST", f"{site.gateway}/v1/messages", json=body | {"stream": True}, trust_env=False
    ) as answer:
        for line in answer.iter_lines():
            if "content_block_delta" in line:
                break
    row = site.booked("messages", "cancelled", 1)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (556, 2)


def test_a_plain_request_that_its_client_leaves_is_booked_with_its_prompt(site: Site) -> None:
    body = {"model": "stalls", "messages": [{"role": "user", "content": QUESTION}]}
    address = site.gateway.partition("//")[2]
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + content)
        wait_for(lambda: "stalls" in site.upstream.asked, 10, what="the request at the engine")
    row = site.booked("stalls", "cancelled", 1)
    assert 100 < row["prompt_tokens"] < 1000
    assert row["completion_tokens"] == 0
    assert row["estimated_tokens"] == row["prompt_tokens"]


def test_a_stream_that_is_left_before_its_first_event_is_booked_with_its_prompt(site: Site) -> None:
    address = site.gateway.partition("//")[2]
    host, _, port = address.partition(":")
    for number, path in enumerate(("/v1/chat/completions", "/v1/messages", "/v1/responses"), 1):
        messages = [{"role": "user", "content": QUESTION}]
        body = {"model": "begins", "stream": True, "messages": messages, "input": "", "max_tokens": 9}
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(content)}\r\n\r\n"
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head.encode() + content)
            asked = site.upstream.asked
            wait_for(lambda: asked.count("begun") == number, 10, what="the answer's head")  # noqa: B023
            site.client.get(f"{site.gateway}/v1/models")  # the gateway has read it before this is answered
        row = site.booked("begins", "cancelled", number)
        assert 100 * number < row["prompt_tokens"] < 1000 * number
        assert row["estimated_tokens"] == row["prompt_tokens"]


@given(USAGE)
def test_no_answer_makes_counts_that_the_ledger_cannot_take(usage: Any) -> None:
    for answer in ({"usage": usage}, {"message": usage}, {"response": {"usage": usage}}, usage):
        counts = counts_in(json.dumps(answer).encode())
        for count in (counts.prompt, counts.completion, counts.cached):
            assert count is None or (type(count) is int and 0 <= count <= MOST_TOKENS)


COUNTS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([2.0, 2.5, "2", MOST_TOKENS, 2**33])
FIELDS = ("total_tokens", "input_tokens", "cache_read_input_tokens")
DETAILS = COUNTS | st.fixed_dictionaries({}, optional={"cached_tokens": COUNTS})
USUAL = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
    optional=dict.fromkeys(FIELDS, COUNTS)
    | dict.fromkeys(("prompt_tokens_details", "input_tokens_details"), DETAILS),
)


@given(USUAL)
def test_usual_counts_are_read_as_all_others(usage: dict[str, Any]) -> None:
    """They are decoded by another way, which takes less time."""
    assert counts_in(json.dumps({"id": "a", "usage": usage}).encode()) == counts_of(usage)


@pytest.mark.parametrize("answer", [b"", b"\xff{", b'{"usage": {"prompt_tokens": 1e999}}', b"[" * 9999, b"3"])
def test_what_is_no_answer_has_no_counts(answer: bytes) -> None:
    assert counts_in(answer) == TokenCounts()
    assert 0 <= estimated_answer_tokens(answer) <= len(answer)


def test_an_answer_is_estimated_by_its_text_not_by_what_is_around_it() -> None:
    call = {"function": {"name": "weather", "arguments": '{"city": "서울"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    around = {"id": "c" * 500, "choices": [{"message": message}]}
    assert 1 <= estimated_answer_tokens(json.dumps(around).encode()) < 20
    assert estimated_answer_tokens("서울은 맑습니다.".encode()) > 0
    assert estimated_answer_tokens(json.dumps({"choices": [{"message": {"content": ""}}]}).encode()) == 0
