"""W21 and W23: bodies travel byte for byte, and odd or hostile ones do no harm.

Sources: RFC 9112 (HTTP/1.1 framing; sections 6.1 and 11.2 on request smuggling), RFC 8259 (JSON).
"""

import json
import re
import socket
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from tests.support.conformance.endpoint import Endpoint, encoded, error_of
from tests.support.conformance.raw_requests import CHAT, CHUNKED, lines, post
from tests.support.conformance.wire import request, talk


def without_stream_options(body: bytes) -> bytes:
    """The body less the one field that a gateway may add to count tokens."""
    found = re.findall(rb'"stream_options":\s?\{[^{}]*\},?', body)
    assert len(found) <= 1
    return body.replace(found[0], b"", 1) if found else body


SAYS = b'"messages":[{"role":"user","content":"hi"}]'
ODD_BODIES = {
    "order, numbers, spaces": b'{ "x":1e2, "y" : 1.0,"z":-0,"model" :"%s",' + SAYS + b"}",
    "duplicate keys": b'{"a":1,"a":2,"model":"%s",' + SAYS + b',"seed":1,"seed":2}',
    "escapes and raw Hangul": b'{"model":"%s","x":"\\ud55c' + "글".encode() + b' \\/ \\u0041",' + SAYS + b"}",
    "big numbers": b'{"model":"%s",' + SAYS + b',"big":123456789012345678901234567890}',
    "vLLM's fields": b'{"model":"%s","top_k":5,"priority":0,"chat_template_kwargs":{"a":[1,{"b":null}]},'
    b'"cache_salt":"s","repetition_penalty":1.10,' + SAYS + b"}",
    "model at the end": b"{" + SAYS.replace(b"hi", b'\\"model\\":\\"x\\"') + b',"model":"%s"}',
    "white space around": b'\n\t {"model":"%s",' + SAYS + b"}\r\n\n",
}
"""Valid requests that a decoder and an encoder would not give back as they were; %s is the model."""


# W21


@pytest.mark.parametrize("name", list(ODD_BODIES))
def test_w21_a_plain_request_reaches_the_engine_byte_for_byte(endpoint: Endpoint, name: str) -> None:
    """W21: key order, number formats, duplicate keys, escapes, white space, unknown fields: untouched."""
    endpoint.need_engine()
    body = ODD_BODIES[name].replace(b"%s", endpoint.model.encode())
    assert endpoint.send(CHAT, body).status_code == 200
    assert endpoint.received().body == body


@pytest.mark.parametrize("name", list(ODD_BODIES))
def test_w21_a_streamed_request_differs_by_stream_options_at_most(endpoint: Endpoint, name: str) -> None:
    """W21: to count tokens a gateway may put `stream_options` in, and nothing else."""
    endpoint.need_engine()
    body = ODD_BODIES[name].replace(b"%s", endpoint.model.encode())
    body = body.replace(b'"messages"', b'"stream":true,"messages"', 1)
    assert endpoint.send(CHAT, body).status_code == 200
    assert without_stream_options(endpoint.received().body) == body


def test_w21_the_clients_stream_options_keep_what_the_gateway_does_not_know(endpoint: Endpoint) -> None:
    """W21: other fields inside `stream_options` survive."""
    endpoint.need_engine()
    options = {"include_usage": False, "include_obfuscation": True}
    body = endpoint.chat(stream=True, stream_options=options)
    endpoint.send(CHAT, body)
    got = json.loads(endpoint.received().body)
    assert got["stream_options"]["include_obfuscation"] is True
    assert {k: v for k, v in got.items() if k != "stream_options"} == {
        k: v for k, v in body.items() if k != "stream_options"
    }


def test_w21_the_official_clients_extra_fields_arrive(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W21: `extra_body`, seeds, template arguments, priorities, as the official client sends them."""
    endpoint.need_engine()
    extra = {"top_k": 3, "chat_template_kwargs": {"enable_thinking": False}, "priority": 0, "min_p": 0.1}
    client.chat.completions.create(**endpoint.chat(), seed=11, extra_body=extra)
    got = json.loads(endpoint.received().body)
    assert got["seed"] == 11
    assert {name: got[name] for name in extra} == extra


def test_w21_of_a_name_given_twice_the_last_counts(endpoint: Endpoint) -> None:
    """W21: service and engine must read the same: of two `model` (or `stream_options`) the last one."""
    model = endpoint.model.encode()
    twice = b'{"model":"no-such-model",' + SAYS + b',"model":"' + model + b'"}'
    assert endpoint.send(CHAT, twice).status_code == 200
    if endpoint.engines:
        assert endpoint.received().body == twice
    assert endpoint.send(CHAT, twice.replace(model, b"x").replace(b"no-such-model", model)).status_code == 404
    usage = b',"stream":true,"stream_options":{"include_usage":true},"stream_options":null}'
    answer = endpoint.send(CHAT, b'{"model":"' + model + b'",' + SAYS + usage)
    assert answer.status_code == 200
    assert b'"usage":{' not in answer.content.replace(b" ", b"")


def test_w21_names_may_be_written_with_escapes(endpoint: Endpoint) -> None:
    """W21, RFC 8259 7: `"mod\\u0065l"` is `"model"`, and `"str\\u0065am"` asks for a stream."""
    body = b'{"mod\\u0065l":"%s","str\\u0065am":true,%s}' % (endpoint.model.encode(), SAYS)
    answer = endpoint.send(CHAT, body)
    assert answer.status_code == 200
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert b'"usage":{' not in answer.content.replace(b" ", b"")
    if endpoint.engines:
        assert without_stream_options(endpoint.received().body) == body


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"])
def test_w21_other_routes_keep_unknown_fields_too(endpoint: Endpoint, path: str) -> None:
    """W21: on every route the fields that the gateway does not know arrive as they were sent."""
    endpoint.need_engine()
    fields: dict[str, dict[str, Any]] = {
        "/v1/completions": endpoint.completion(),
        "/v1/responses": {"model": endpoint.model, "input": "안녕", "max_output_tokens": 3},
        "/v1/messages": {
            "model": endpoint.model,
            "messages": [{"role": "user", "content": "안녕"}],
            "max_tokens": 3,
        },
        "/v1/embeddings": {"model": endpoint.model_embed, "input": "안녕"},
    }
    capability = {"/v1/responses": "responses", "/v1/messages": "messages", "/v1/embeddings": "embeddings"}
    if path in capability:
        endpoint.need(capability[path])
    body = encoded(fields[path])[:-1] + b', "x_unknown":{"z":1e3,"a":[]}}'
    assert endpoint.send(path, body).status_code == 200
    if path != "/v1/embeddings":  # that one is served by an engine that is not looked into
        assert b'"x_unknown":{"z":1e3,"a":[]}' in endpoint.received().body


# W23


@pytest.mark.parametrize(("stream", "is_stream"), [(None, False), (False, False), (True, True)], ids=str)
def test_w23_stream_may_be_null(endpoint: Endpoint, stream: bool | None, is_stream: bool) -> None:
    """W23: null and false are a plain answer, true is a stream."""
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream") is is_stream


@pytest.mark.parametrize("stream", ["true", 1, "yes", {}], ids=repr)
def test_w23_stream_of_a_wrong_kind_is_clear(endpoint: Endpoint, stream: Any) -> None:
    """W23: either refused with 400, or taken for what it plainly means; never an answer cut in the middle."""
    answer = endpoint.stream(CHAT, endpoint.chat(stream=stream))
    if answer.status == 400:
        error_of(answer)
    elif answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.chunks()[-1]["choices"][0]["finish_reason"]
    else:
        assert json.loads(answer.body)["choices"][0]["finish_reason"]


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_w23_a_chunked_upload_is_a_body(endpoint: Endpoint) -> None:
    """W23, RFC 9112 7.1: bodies without a length, in chunks, one of them ending inside a Hangul syllable."""
    body = encoded(endpoint.chat())
    cut = body.index("토큰".encode()) + 1
    parts = [chunk(body[:cut]), b"1;ext=1\r\n" + body[cut : cut + 1] + b"\r\n", chunk(body[cut + 1 :])]
    (answer,) = post(endpoint, lines(endpoint, CHUNKED), *parts, b"0\r\n\r\n", gap_s=0.01)
    assert answer.status == 200
    assert answer.json()["choices"]


def test_w23_a_body_may_come_byte_by_byte(endpoint: Endpoint) -> None:
    """W23: wherever packets end, the request is the same."""
    body = encoded(endpoint.chat(max_tokens=1))
    head = lines(endpoint, f"Content-Length: {len(body)}")
    (answer,) = post(endpoint, head, *(body[i : i + 1] for i in range(len(body))))
    assert answer.status == 200


def test_w23_expect_continue_is_answered(endpoint: Endpoint) -> None:
    """W23, RFC 9110 10.1.1: a client that waits for `100 Continue` gets it or the final status."""
    body = encoded(endpoint.chat())
    head = lines(endpoint, f"Content-Length: {len(body)}", "Expect: 100-continue")
    (answer,) = post(endpoint, head, body, gap_s=0.3)
    assert answer.status == 200


def test_w23_a_client_that_waits_for_100_continue_is_told_to_go_on(endpoint: Endpoint) -> None:
    """W23, RFC 9110 10.1.1: nothing of the body is sent before the interim answer; it comes at once."""
    body = encoded(endpoint.chat(max_tokens=1))
    head = lines(endpoint, f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
    target = urlsplit(endpoint.base_url)
    if target.scheme == "https":
        pytest.skip("not applicable: this check speaks plain HTTP")
    with socket.create_connection((target.hostname or "", target.port or 80), timeout=20) as connection:
        connection.sendall(request(endpoint.base_url, "POST", endpoint.path(CHAT), head))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_w23_a_query_and_an_absolute_address_change_nothing(endpoint: Endpoint) -> None:
    """W23, RFC 9112 3.2.2: `?api-version=...` and `POST http://host/path` are the same request."""
    assert endpoint.send(f"{CHAT}?api-version=2024", endpoint.chat()).status_code == 200
    body = encoded(endpoint.chat(max_tokens=1))
    head = lines(endpoint, f"Content-Length: {len(body)}")
    address = f"http://{urlsplit(endpoint.base_url).netloc}{endpoint.path(CHAT)}"
    (answer,) = talk(endpoint.base_url, request(endpoint.base_url, "POST", address, head, body))
    assert answer.status == 200


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_w23_an_offer_to_change_the_protocol_is_ignored(endpoint: Endpoint, upgrade: str) -> None:
    """W23, RFC 9110 7.8: Java's client offers HTTP/2 with every first request; its body still counts."""
    body = encoded(endpoint.chat(max_tokens=1))
    offer = [f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__"]
    head = lines(endpoint, *offer, f"Content-Length: {len(body)}")
    for parts in ([body], [body[:9], body[9:]]):
        (answer,) = post(endpoint, head, *parts, gap_s=0.05)
        assert answer.status == 200
        assert answer.json()["choices"]


@pytest.mark.parametrize("hosts", [0, 2])
def test_w23_a_request_names_its_host_once(endpoint: Endpoint, hosts: int) -> None:
    """W23, RFC 9112 3.2: HTTP/1.1 without `Host`, or with two, is refused with 400."""
    head = ["GET /v1/models HTTP/1.1", *(f"Host: host-{number}" for number in range(hosts)), *lines(endpoint)]
    answers = talk(endpoint.base_url, "\r\n".join([*head, "", ""]).encode())
    assert answers == [] or answers[0].status == 400


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"]
)
def test_w23_the_type_may_name_its_charset(endpoint: Endpoint, content_type: str) -> None:
    """W23: media types compare without case, and a charset is no reason to refuse."""
    answer = endpoint.send(CHAT, endpoint.chat(), headers={"content-type": content_type})
    assert answer.status_code == 200


def test_w23_a_byte_order_mark_is_clear(endpoint: Endpoint) -> None:
    """W23, RFC 8259 8.1: a BOM may be skipped or refused with 400; nothing else."""
    answer = endpoint.send(CHAT, b"\xef\xbb\xbf" + encoded(endpoint.chat()))
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        error_of(answer)


def test_w23_ten_megabytes_are_taken(endpoint: Endpoint) -> None:
    """W23: long documents and images in base64 are ordinary; 10 MB are not too much."""
    answer = endpoint.send(CHAT, endpoint.chat(x_padding="가" * 3_400_000))
    assert answer.status_code == 200


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["arrays", "objects"])
def test_w23_json_a_hundred_thousand_deep_is_refused(endpoint: Endpoint, opening: bytes) -> None:
    """W23: 400, not a crash: the next request is answered."""
    body = endpoint.chat(max_tokens=1)
    deep = encoded(body)[:-1] + b',"x_deep":' + opening * 100_000
    answer = endpoint.send(CHAT, deep)
    assert answer.status_code == 400
    error_of(answer)
    closed = deep + b"1" + (b"]" if opening == b"[" else b"}") * 100_000 + b"}"
    assert endpoint.send(CHAT, closed).status_code in (200, 400)
    assert endpoint.send(CHAT, body).status_code == 200


def test_w23_an_announced_body_that_is_too_large_is_refused_at_once(endpoint: Endpoint) -> None:
    """W23, W14: 413 without waiting for the bytes."""
    if endpoint.kind == "external":
        pytest.skip("not applicable: this service's limit is not known")
    (answer,) = post(endpoint, lines(endpoint, "Content-Length: 99999999"))
    assert answer.status == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_w23_pipelined_requests_are_answered_in_order(endpoint: Endpoint) -> None:
    """W23, RFC 9112 9.3.2: three requests in one packet, three answers in their order."""
    parts = b""
    for tokens in (1, 2, 3):
        body = encoded(endpoint.chat(max_tokens=tokens))
        head = lines(endpoint, f"Content-Length: {len(body)}")
        parts += request(endpoint.base_url, "POST", endpoint.path(CHAT), head, body)
    answers = talk(endpoint.base_url, parts, answers=3)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert [answer.json()["usage"]["completion_tokens"] for answer in answers] == [1, 2, 3]


def test_w23_a_stream_does_not_mix_with_what_was_sent_after_it(endpoint: Endpoint) -> None:
    """W23, RFC 9112 9.3.2: answers wait for the stream before them, whoever makes them."""
    stream = encoded(endpoint.chat(stream=True))
    chat = encoded(endpoint.chat(max_tokens=1))
    asked = [
        ("POST", CHAT, stream),
        ("GET", "/v1/models", b""),
        ("POST", CHAT, chat),
        ("GET", "/v1/nothing", b""),
    ]
    sent = b"".join(
        request(
            endpoint.base_url,
            method,
            endpoint.path(path),
            lines(endpoint, f"Content-Length: {len(body)}"),
            body,
        )
        for method, path, body in asked
    )
    answers = talk(endpoint.base_url, sent, answers=4)
    assert [answer.status for answer in answers] == [200, 200, 200, 404]
    assert answers[0].body.endswith(b"data: [DONE]\n\n")
    assert answers[1].json()["object"] == "list"
    assert answers[2].json()["choices"]


def test_w23_a_connection_is_used_again(endpoint: Endpoint) -> None:
    """W23: a stream and an error do not cost the connection."""
    wanted = [endpoint.chat(stream=True), endpoint.chat(model="no-such-model"), endpoint.chat()]
    parts = []
    for fields in wanted:
        body = encoded(fields)
        head = lines(endpoint, f"Content-Length: {len(body)}")
        parts.append(request(endpoint.base_url, "POST", endpoint.path(CHAT), head, body))
    answers = talk(endpoint.base_url, *parts, answers=3, gap_s=0.3)
    assert [answer.status for answer in answers] == [200, 404, 200]


def test_w23_http_1_0_clients_get_a_stream_without_chunks(endpoint: Endpoint) -> None:
    """W23: HTTP/1.0 has no chunked coding; the answer ends with the connection."""
    body = encoded(endpoint.chat(stream=True))
    head = lines(endpoint, f"Content-Length: {len(body)}")
    asked = request(endpoint.base_url, "POST", endpoint.path(CHAT), head, body)
    (answer,) = talk(endpoint.base_url, asked.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert answer.status == 200
    assert answer.header("transfer-encoding") is None
    assert answer.body.endswith(b"data: [DONE]\n\n")


# W23: request smuggling. A gateway must never see one request where a server before it sees two.
