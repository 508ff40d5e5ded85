"""W12-W16: failures that look like failures. Source: OpenAI's error object and codes
(https://platform.openai.com/docs/guides/error-codes), and what its client does with them.
"""

import json
import re
from typing import Any

import openai
import pytest

from tests.support.conformance.endpoint import QUESTION, Endpoint, Streamed, error_of
from tests.support.conformance.wire import talk
from tests.support.processes import wait_for

CHAT = "/v1/chat/completions"
BREAKS = ["cut_at_token:3", "reset_at_token:3", "abort_at_token:3", "error_at_token:3", "no_done"]
SECRETS = re.compile(
    r"127\.0\.0\.1|localhost|Traceback|site-packages|\.py\b|/usr/|/home/|Bearer ", re.IGNORECASE
)


def assert_no_secrets(text: str) -> None:
    """W13: no stack, path, key or worker's URL in what a client reads."""
    assert not SECRETS.search(text), text


# W12


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "status"),
    [({"temperature": 9}, 400), ({"messages": []}, 400), ({"max_tokens": 10**9}, 400)],
    ids=["temperature", "messages", "max_tokens"],
)
def test_w12_a_refused_request_has_a_status_also_when_it_asks_for_a_stream(
    endpoint: Endpoint, fields: dict[str, Any], status: int, stream: bool
) -> None:
    """W12: an error before the first event is an HTTP status with JSON, never 200 and an event."""
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream) | fields)
    assert answer.status == status
    error_of(answer)


@pytest.mark.parametrize("mode", ["error_at_token:0", "abort_at_token:0", "cut_at_token:0", "status:500"])
def test_w12_an_engine_that_fails_at_once_gives_a_status(endpoint: Endpoint, mode: str) -> None:
    """W12: the first event decides: when it is an error, the client gets a status, not a stream."""
    endpoint.script(mode)
    answer = endpoint.stream(CHAT, endpoint.chat(stream=True))
    assert answer.status >= 500
    error_of(answer)


def test_w12_a_comment_does_not_decide_the_status(endpoint: Endpoint) -> None:
    """W12: keep-alive comments, which vLLM sends while a request waits, come before the first event."""
    error = {"message": "scripted", "type": "InternalServerError", "param": None, "code": 500}
    stream = f": keep-alive\n\ndata: {json.dumps({'error': error})}\n\ndata: [DONE]\n\n"
    endpoint.replay(stream.encode())
    answer = endpoint.stream(CHAT, endpoint.chat(stream=True))
    assert answer.status >= 500
    error_of(answer)


@pytest.mark.parametrize("stream", [False, True])
def test_w12_an_error_with_status_200_is_no_success(endpoint: Endpoint, stream: bool) -> None:
    """W12: an engine that says 200 and means 500 is told apart from one that answers."""
    error = {"message": "scripted", "type": "InternalServerError", "param": None, "code": 500}
    endpoint.script("status:200", error={"error": error})
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream))
    assert answer.status >= 500
    error_of(answer)


# W13


def failures(endpoint: Endpoint) -> dict[str, tuple[int, Any]]:
    """Requests that must fail, with the status: name -> (status, keyword arguments of Endpoint.send)."""
    chat = json.dumps({"model": endpoint.model, "messages": QUESTION}).encode()
    return {
        "no route": (404, {"path": "/v1/nothing/here", "method": "GET"}),
        "wrong method": (405, {"path": CHAT, "method": "GET"}),
        "not JSON": (400, {"path": CHAT, "body": b"{"}),
        "no bytes": (400, {"path": CHAT, "body": b""}),
        "not UTF-8": (400, {"path": CHAT, "body": b'{"model": "\xff"}'}),
        "a list": (400, {"path": CHAT, "body": b"[1]"}),
        "no model": (400, {"path": CHAT, "body": b'{"messages": []}'}),
        "model of a wrong kind": (400, {"path": CHAT, "body": b'{"model": 7, "messages": []}'}),
        "no messages": (400, {"path": CHAT, "body": {"model": endpoint.model}}),
        "unknown model": (404, {"path": CHAT, "body": {"model": "no-such-model", "messages": QUESTION}}),
        "unknown model's card": (404, {"path": "/v1/models/no-such-model", "method": "GET"}),
        "HTML as the type": (200, {"path": CHAT, "body": chat, "headers": {"content-type": "text/html"}}),
    }


@pytest.mark.parametrize("name", list(failures(Endpoint("", ""))))
def test_w13_every_failure_is_openais_error_object(endpoint: Endpoint, name: str) -> None:
    """W13: message, type, param and code under `error`, as JSON, whatever was sent; W14: the status."""
    endpoint.need("chat")
    status, asked = failures(endpoint)[name]
    answer = endpoint.send(**asked)
    if name == "HTML as the type":
        # vLLM refuses what is not application/json; a gateway may as well take it.
        assert answer.status_code in (200, 400, 415)
        if answer.status_code != 200:
            error_of(answer)
        return
    assert answer.status_code == status
    error_of(answer)
    assert_no_secrets(answer.text)


def test_w13_an_upstreams_secrets_stay_inside(endpoint: Endpoint) -> None:
    """W13: an engine's error that names its address, file or key is not repeated to the client."""
    engine = endpoint.need_engine()
    text = f"boom at {engine.url} in /home/me/vllm/engine.py, Bearer abc"
    error = {"error": {"message": text, "type": "InternalServerError", "param": None, "code": 500}}
    endpoint.script("status:500", error=error)
    for body in (endpoint.chat(), endpoint.chat(stream=True)):
        answer = endpoint.stream(CHAT, body)
        assert answer.status >= 500
        error_of(answer)
        assert_no_secrets(answer.body.decode())


@pytest.mark.parametrize(
    "error", ["plain words", {"detail": "Not Found"}, [], {"error": "string"}, {"error": 5}]
)
def test_w13_an_upstreams_odd_error_becomes_the_error_object(endpoint: Endpoint, error: Any) -> None:
    """W13: whatever shape an engine's error has, the client's has OpenAI's."""
    endpoint.script("status:400", error=error)
    answer = endpoint.send(CHAT, endpoint.chat())
    assert answer.status_code == 400
    error_of(answer)


@pytest.mark.parametrize(
    "head",
    [
        "GARBAGE\r\n\r\n",
        "POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\n",
    ],
)
def test_w13_even_what_is_not_http_gets_the_error_object(endpoint: Endpoint, head: str) -> None:
    """W13: a 400 of the HTTP server below has the same body as all others."""
    (answer,) = talk(endpoint.base_url, head.encode(), half_close=True)
    assert answer.status == 400
    assert set(answer.json()["error"]) >= {"message", "type", "param", "code"}


def test_w13_a_page_with_status_200_is_no_answer(endpoint: Endpoint) -> None:
    """W13: JSON, also when a proxy on the way to the engine answers with a page of its own."""
    endpoint.script("html")
    answer = endpoint.send(CHAT, endpoint.chat())
    assert answer.status_code >= 500
    error_of(answer)


# W14


def test_w14_codes_of_the_clients_mistakes(endpoint: Endpoint) -> None:
    """W14: unknown models and contexts that are too long have OpenAI's codes."""
    unknown = endpoint.send(CHAT, endpoint.chat(model="no-such-model"))
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "model_not_found")
    long = [{"role": "user", "content": "가나다라 " * 10_000}]
    answer = endpoint.send(CHAT, endpoint.chat(messages=long))
    assert (answer.status_code, error_of(answer)["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("key", ["wrong-key", ""])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/completions", "/v1/responses"])
def test_w14_a_wrong_or_missing_key_is_401(endpoint: Endpoint, key: str, path: str) -> None:
    """W14: 401 `invalid_api_key`, with or without a body, and the key is not repeated."""
    if not endpoint.asks_for_keys:
        pytest.skip("not applicable: this service asks for no key")
    method = "GET" if path == "/v1/models" else "POST"
    body = None if method == "GET" else {"model": endpoint.model}
    headers = {"authorization": f"Bearer {key}" if key else ""}
    answer = endpoint.send(path, body, method=method, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    assert not key or key not in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_w14_a_model_that_a_key_may_not_use_is_403(endpoint: Endpoint, stream: bool) -> None:
    """W14: not 404, which would say that there is no such model, and not 401: the key is fine."""
    if endpoint.restricted_key is None:
        pytest.skip("not applicable: no --restricted-key")
    headers = {"authorization": f"Bearer {endpoint.restricted_key}"}
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream), headers=headers)
    assert answer.status == 403
    error_of(answer)


@pytest.mark.parametrize("stream", [False, True])
def test_w14_a_spent_budget_is_429_that_need_not_be_repeated(endpoint: Endpoint, stream: bool) -> None:
    """W14: `insufficient_quota`, and `x-should-retry: false`, which the official clients obey."""
    if endpoint.spent_key is None:
        pytest.skip("not applicable: no --spent-key")
    headers = {"authorization": f"Bearer {endpoint.spent_key}"}
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream), headers=headers)
    assert (answer.status, error_of(answer)["code"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"


def test_w14_the_official_client_raises_its_own_errors(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W14: the client's exception types, with `code` and `param` filled in."""
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(**endpoint.chat(model="no-such-model"))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(**endpoint.chat(temperature=9))
    assert bad.value.param == "temperature"
    if endpoint.asks_for_keys:
        with endpoint.openai("wrong-key") as stranger, pytest.raises(openai.AuthenticationError) as denied:
            stranger.models.list()
        assert denied.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("mode", "stream", "allowed"),
    [
        *(("status:500", stream, {500, 502}) for stream in (False, True)),
        *(("status:502", stream, {502}) for stream in (False, True)),
        *(("status:503", stream, {429, 503}) for stream in (False, True)),
        *(("status:504", stream, {502, 504}) for stream in (False, True)),
        *(("status:429", stream, {429, 503}) for stream in (False, True)),
        *(("status:307", stream, {502}) for stream in (False, True)),
        *(("cut_at_token:0", stream, {502}) for stream in (False, True)),
        ("reset_at_token:0", True, {502}),
        ("stall_before_headers", True, {504}),
        ("stall_at_token:0", True, {504}),
    ],
)
def test_w14_each_failure_of_an_engine_has_its_status(
    endpoint: Endpoint, mode: str, stream: bool, allowed: set[int]
) -> None:
    """W14: upstream failure 502, upstream timeout 504, overload 429/503; never 408, which clients repeat."""
    endpoint.need_engine()
    asked = endpoint.impatient(endpoint.hasty) if mode.startswith("stall") else endpoint
    endpoint.script(mode)
    answer = asked.stream(CHAT, endpoint.chat(stream=stream))
    assert answer.status in allowed
    error_of(answer)


@pytest.mark.parametrize("stream", [False, True])
def test_w14_a_model_that_is_not_ready_is_503_and_not_404(endpoint: Endpoint, stream: bool) -> None:
    """W14: unknown is not known-but-down: that passes, and the client may come back."""
    if endpoint.model_loading is None:
        pytest.skip("not applicable: no model is known to be loading")
    answer = endpoint.stream(CHAT, endpoint.chat(model=endpoint.model_loading, stream=stream))
    assert answer.status == 503
    assert error_of(answer)["code"] == "model_not_ready"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("mode", ["status:401", "status:403"])
def test_w14_a_providers_refusal_of_our_key_is_not_the_clients_fault(endpoint: Endpoint, mode: str) -> None:
    """W14: 502, or the client would be told that its own key is wrong; and the key is not repeated."""
    if endpoint.outside is None:
        pytest.skip("not applicable: no provider is known here")
    error = {"error": {"message": "Incorrect API key provided: provider-key", "code": "invalid_api_key"}}
    endpoint.outside.script(mode, error=error)
    answer = endpoint.send(CHAT, endpoint.chat(model=endpoint.model_outside))
    assert answer.status_code == 502
    error_of(answer)
    assert "provider-key" not in answer.text


@pytest.mark.parametrize("mode", ["status:503", "status:429"])
def test_w14_overload_says_when_to_come_back(endpoint: Endpoint, mode: str) -> None:
    """W14: a Retry-After in whole seconds with 429 and 503."""
    endpoint.script(mode)
    answer = endpoint.send(CHAT, endpoint.chat())
    assert answer.status_code in (429, 503)
    assert int(answer.headers["retry-after"]) >= 1


# W15 and W16


def assert_broken(answer: Streamed) -> None:
    """The last two events are an error object and [DONE]."""
    *_, error, done = answer.events()
    assert done.data == "[DONE]"
    assert set(error.json()["error"]) >= {"message", "type", "param", "code"}
    assert_no_secrets(error.data)


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
@pytest.mark.parametrize("mode", BREAKS)
def test_w15_a_stream_that_breaks_ends_in_an_error_and_done(endpoint: Endpoint, mode: str, path: str) -> None:
    """W15, W16: after the first event a failure is an error event, then [DONE]; never a silent end."""
    endpoint.script(mode)
    body = endpoint.chat(stream=True) if path == CHAT else endpoint.completion(stream=True)
    answer = endpoint.stream(path, body)
    assert answer.status == 200
    assert_broken(answer)
    said = [event for event in answer.events()[:-2] if "choices" in event.data]
    assert len(said) == (6 if mode == "no_done" else 3)


def test_w15_silence_in_the_middle_is_a_failure_too(endpoint: Endpoint) -> None:
    """W15: an engine that goes silent ends in an error after the idle limit."""
    restless = endpoint.impatient(endpoint.restless)
    endpoint.script("stall_at_token:2")
    assert_broken(restless.stream(CHAT, endpoint.chat(stream=True)))


@pytest.mark.parametrize("mode", BREAKS)
def test_w16_the_official_client_raises_on_a_broken_stream(
    endpoint: Endpoint, client: openai.OpenAI, mode: str
) -> None:
    """W16, W15: a missing [DONE], `abort` or a cut connection is an exception for the client, not an end."""
    endpoint.script(mode)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**endpoint.chat(), stream=True))


@pytest.mark.parametrize("mode", ["abort_at_token:0", "cut_at_token:0"])
def test_w16_a_plain_answer_that_was_cut_or_aborted_is_an_error(endpoint: Endpoint, mode: str) -> None:
    """W16: the same for answers that are not streamed."""
    endpoint.script(mode)
    answer = endpoint.send(CHAT, endpoint.chat())
    assert answer.status_code == 502
    error_of(answer)


def test_w16_half_an_answer_without_a_length_is_an_error(endpoint: Endpoint) -> None:
    """W16: where only the connection's end ends an answer, its JSON must be whole."""
    endpoint.script("truncate")
    answer = endpoint.send(CHAT, endpoint.chat())
    assert answer.status_code in (500, 502)
    error_of(answer)


def test_w16_a_client_that_leaves_stops_the_engine(endpoint: Endpoint) -> None:
    """W16: nothing goes on for nobody: when the client closes, the engine's request ends too."""
    engine = endpoint.need_engine()
    endpoint.script("stall_at_token:3")
    wait_for(lambda: not any(each.running() for each in endpoint.engines), 5, what="those of tests before")
    before = sum(each.cancelled() for each in endpoint.engines)
    with (
        endpoint.openai() as client,
        client.chat.completions.create(**endpoint.chat(), stream=True) as stream,
    ):
        next(iter(stream))
    wait_for(lambda: sum(each.cancelled() for each in endpoint.engines) > before, 5, what=engine.url)
