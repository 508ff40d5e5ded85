"""W17-W20: request ids, limits, timings, and the headers that must not travel.

Sources: OpenAI's headers (https://platform.openai.com/docs/api-reference/debugging-requests), RFC 9110
section 7.6.1 (connection), RFC 6585 (429), W3C Trace Context.
"""

import re
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.support.conformance.endpoint import Endpoint, encoded, tls
from tests.support.conformance.wire import request, talk
from tests.support.processes import wait_for

CHAT = "/v1/chat/completions"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


# W17


@pytest.mark.parametrize("stream", [False, True])
def test_w17_a_request_id_is_kept_and_reaches_the_engine(endpoint: Endpoint, stream: bool) -> None:
    """W17: `x-request-id` of the client comes back and is the engine's too."""
    headers = {"x-request-id": "abc-1.2:3_4"}
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream), headers=headers)
    assert answer.headers["x-request-id"] == "abc-1.2:3_4"
    if endpoint.engines:
        assert endpoint.received().header("x-request-id") == "abc-1.2:3_4"


def test_w17_every_answer_has_a_request_id_of_its_own(endpoint: Endpoint) -> None:
    """W17: made when the client sent none, also on errors and on the service's own routes."""
    answers = [
        endpoint.send(CHAT, endpoint.chat()),
        endpoint.send(CHAT, b"{"),
        endpoint.send("/v1/models", method="GET"),
        endpoint.send("/v1/nothing", method="GET"),
        endpoint.send("/v1/models", method="GET", headers={"authorization": "Bearer wrong-key"}),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "evil", ["a b", "a\tb", "<script>", "x" * 5000, "한글".encode().decode("latin-1"), '"; drop'], ids=repr
)
def test_w17_a_request_id_that_could_harm_is_replaced(endpoint: Endpoint, evil: str) -> None:
    """W17: length and characters are limited: the id ends in logs and headers of others."""
    line = f"x-request-id: {evil}".encode("latin-1").decode("latin-1")
    body = encoded(endpoint.chat(max_tokens=1))
    lines = [*(f"{k}: {v}" for k, v in endpoint.headers().items()), f"Content-Length: {len(body)}", line]
    (answer,) = talk(endpoint.base_url, request(endpoint.base_url, "POST", endpoint.path(CHAT), lines, body))
    given = answer.header("x-request-id") or ""
    assert re.fullmatch(r"[\x21-\x7e]{1,200}", given)
    assert evil not in given
    assert answer.status in (200, 400)


def test_w17_the_official_client_shows_the_request_id(endpoint: Endpoint) -> None:
    """W17: where the OpenAI client looks for it."""
    with endpoint.openai() as client:
        answer = client.chat.completions.create(**endpoint.chat(), extra_headers={"x-request-id": "mine-1"})
    assert answer._request_id == "mine-1"


def says(log: Path, words: str) -> bool:
    return words in log.read_text("utf-8")


def test_w17_the_request_id_is_in_the_log(endpoint: Endpoint) -> None:
    """W17: a line of the service's log says what became of the request, under its id."""
    if endpoint.log is None:
        pytest.skip("not applicable: this service's log is not at hand")
    log = endpoint.log
    endpoint.send(CHAT, endpoint.chat(), headers={"x-request-id": "logged-1"})
    endpoint.send(CHAT, endpoint.chat(model="no-such-model"), headers={"x-request-id": "logged-2"})
    for request_id in ("logged-1", "logged-2"):
        wait_for(partial(says, log, request_id), 5, what=request_id)


# W18

LIMITS = [
    f"x-ratelimit-{part}-{of}" for part in ("limit", "remaining", "reset") for of in ("requests", "tokens")
]


@pytest.mark.parametrize("stream", [False, True])
def test_w18_an_answer_says_what_is_left_of_the_limits(endpoint: Endpoint, stream: bool) -> None:
    """W18: `x-ratelimit-*` on a success, as OpenAI names and writes them (counts, and durations as `1s`)."""
    if endpoint.limited_key is None:
        pytest.skip("not applicable: no --limited-key")
    headers = {"authorization": f"Bearer {endpoint.limited_key}"}
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream), headers=headers)
    assert answer.status == 200
    for name in LIMITS:
        assert name in answer.headers
    for of in ("requests", "tokens"):
        left, limit = (int(answer.headers[f"x-ratelimit-{part}-{of}"]) for part in ("remaining", "limit"))
        assert 0 <= left <= limit
        assert re.fullmatch(
            r"(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?", answer.headers[f"x-ratelimit-reset-{of}"]
        )


def test_w18_a_limit_that_is_reached_is_429_and_says_when(endpoint: Endpoint) -> None:
    """W18: 429 `rate_limit_exceeded` with the same headers, `retry-after` in whole seconds and in ms."""
    if endpoint.limited_key is None:
        pytest.skip("not applicable: no --limited-key")
    headers = {"authorization": f"Bearer {endpoint.limited_key}"}
    answer = endpoint.send(CHAT, endpoint.chat(), headers=headers)
    for _ in range(200):
        if answer.status_code == 429:
            break
        answer = endpoint.send(CHAT, endpoint.chat(), headers=headers)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(answer.headers["retry-after"]) >= 1
    assert int(answer.headers["retry-after-ms"]) >= 1
    assert set(LIMITS) <= set(answer.headers)


# W19


@pytest.mark.parametrize("stream", [False, True])
def test_w19_an_answer_says_how_long_it_took(endpoint: Endpoint, stream: bool) -> None:
    """W19: `openai-processing-ms` or a header of the gateway's own overhead, a number."""
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream))
    told = {k: v for k, v in answer.headers.items() if re.search(r"processing-ms|overhead", k)}
    assert told
    assert all(float(value) >= 0 for value in told.values())


# W20


def test_w20_the_clients_key_stays_with_the_gateway(endpoint: Endpoint) -> None:
    """W20: neither `Authorization` nor cookies nor `x-api-key` of the client reach the engine."""
    endpoint.need_engine()
    headers = {"cookie": "session=secret-cookie", "x-api-key": endpoint.api_key, "openai-organization": "org"}
    assert endpoint.send(CHAT, endpoint.chat(), headers=headers).status_code == 200
    seen = " ".join(f"{name}: {value}" for name, value in endpoint.received().headers)
    assert endpoint.api_key not in seen
    assert "secret-cookie" not in seen


def test_w20_hop_by_hop_headers_of_the_client_are_not_passed_on(endpoint: Endpoint) -> None:
    """W20, RFC 9110 7.6.1: `Connection` and what it names, `TE`, `Upgrade` and others end here."""
    endpoint.need_engine()
    body = encoded(endpoint.chat())
    lines = [
        *(f"{k}: {v}" for k, v in endpoint.headers().items()),
        f"Content-Length: {len(body)}",
        "Connection: keep-alive, x-private",
        "X-Private: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Authorization: Basic abc",
    ]
    (answer,) = talk(endpoint.base_url, request(endpoint.base_url, "POST", endpoint.path(CHAT), lines, body))
    assert answer.status == 200
    received = endpoint.received()
    names = {name for name, _ in received.headers}
    assert not names & {"x-private", "keep-alive", "te", "proxy-authorization", "upgrade", "proxy-connection"}
    assert "x-private" not in (received.header("connection") or "")


@pytest.mark.parametrize("stream", [False, True])
def test_w20_an_engines_inner_headers_do_not_come_back(endpoint: Endpoint, stream: bool) -> None:
    """W20: hop-by-hop headers, cookies, keys and the engine's name stay inside."""
    inner = [
        ("keep-alive", "timeout=75"),
        ("proxy-authenticate", "Basic"),
        ("set-cookie", "engine=1"),
        ("authorization", "Bearer provider-key"),
        ("x-private-engine", "10.0.0.7"),
        ("server", "engine-server"),
    ]
    endpoint.script(headers=inner)
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream))
    assert answer.status == 200
    told = " ".join(f"{name}: {value}" for name, value in answer.headers.items())
    for secret in ("timeout=75", "Basic", "engine=1", "provider-key", "10.0.0.7", "engine-server"):
        assert secret not in told


@pytest.mark.parametrize("stream", [False, True])
def test_w20_a_provider_gets_its_own_key_and_the_client_never_sees_it(
    endpoint: Endpoint, stream: bool
) -> None:
    """W20: the client's key ends at the gateway, the provider's begins there."""
    if endpoint.outside is None:
        pytest.skip("not applicable: no provider is known here")
    answer = endpoint.stream(CHAT, endpoint.chat(model=endpoint.model_outside, stream=stream))
    assert answer.status == 200
    received = endpoint.outside.last()
    assert received.header("authorization") == "Bearer provider-key"
    assert endpoint.api_key not in str(received.headers)
    assert "provider-key" not in str(answer.headers) + answer.body.decode()


def test_w20_trace_context_is_passed_on(endpoint: Endpoint) -> None:
    """W20: `traceparent` keeps its trace id on the way to the engine, so that traces join."""
    endpoint.need_engine()
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
    assert endpoint.send(CHAT, endpoint.chat(), headers=headers).status_code == 200
    received = endpoint.received()
    assert (received.header("traceparent") or "").split("-")[1] == TRACEPARENT.split("-")[1]
    assert received.header("tracestate") == "vendor=1"


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br, gzip;q=0.5, *;q=0"])
def test_w20_accept_encoding_never_breaks_an_answer(endpoint: Endpoint, encoding: str) -> None:
    """W20: what comes back is what its content-encoding says."""
    with httpx2.Client(verify=tls(), trust_env=False, timeout=30) as client:
        headers = endpoint.headers() | {"accept-encoding": encoding}
        answer = client.post(endpoint.root + CHAT, content=encoded(endpoint.chat()), headers=headers)
    assert answer.status_code == 200
    assert answer.json()["choices"]


def test_w20_an_answer_that_the_engine_compressed_can_be_read(endpoint: Endpoint) -> None:
    """W20: compression that nobody asked for is undone, passed on with its header, or refused."""
    endpoint.script("gzip")
    answer = endpoint.send(CHAT, endpoint.chat())
    assert answer.status_code in (200, 502)
    assert answer.json().keys() & {"choices", "error"}


def test_w20_a_header_sent_twice_does_no_harm(endpoint: Endpoint) -> None:
    """W20: duplicates are kept or joined, and the request works."""
    body = encoded(endpoint.chat())
    lines = [
        *(f"{k}: {v}" for k, v in endpoint.headers().items()),
        f"Content-Length: {len(body)}",
        "Accept: application/json",
        "Accept: text/event-stream",
        "tracestate: a=1",
        "tracestate: b=2",
    ]
    (answer,) = talk(endpoint.base_url, request(endpoint.base_url, "POST", endpoint.path(CHAT), lines, body))
    assert answer.status == 200
