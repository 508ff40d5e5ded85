"""W23: what is no HTTP, hides a second request or never ends is refused and reaches no engine."""

import pytest

from tests.support.conformance.endpoint import Endpoint, encoded
from tests.support.conformance.raw_requests import CHAT, CHUNKED, lines, post
from tests.support.conformance.wire import request, talk

SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def smuggling(endpoint: Endpoint) -> dict[str, list[str]]:
    """Header lines of requests whose length two servers could read differently."""
    length = "Content-Length: 0"
    return {
        "length and chunks": [length, CHUNKED],
        "chunks and length": [CHUNKED, length],
        "two lengths": [length, "Content-Length: 41"],
        "two lengths in one": ["Content-Length: 0, 41"],
        "negative length": ["Content-Length: -1"],
        "length with a plus": ["Content-Length: +0"],
        "hexadecimal length": ["Content-Length: 0x0"],
        "length with a space inside": ["Content-Length: 4 1"],
        "unknown coding": ["Transfer-Encoding: xchunked", length],
        "coding after chunked": ["Transfer-Encoding: chunked, identity"],
        "coding with a vertical tab": ["Transfer-Encoding: \x0bchunked", length],
        "space before the colon": ["Transfer-Encoding : chunked", length],
        "folded header": ["Transfer-Encoding:\r\n chunked", length],
        "chunked twice": [CHUNKED, CHUNKED, length],
        "null in a header": ["X-A: a\x00b", length],
        "bare carriage return": ["X-A: a\rContent-Length: 41", length],
    }


@pytest.mark.parametrize("name", list(smuggling(Endpoint("", ""))))
def test_w23_a_request_of_unclear_length_is_refused(endpoint: Endpoint, name: str) -> None:
    """W23, RFC 9112 6.1, 6.3, 11.2: 400 and the connection ends; the bytes after it are never a request."""
    head = request(
        endpoint.base_url, "POST", endpoint.path(CHAT), lines(endpoint, *smuggling(endpoint)[name])
    )
    for ending in (b"0\r\n\r\n" + SMUGGLED, SMUGGLED):
        answers = talk(endpoint.base_url, head + ending, answers=2)
        assert [answer.status for answer in answers[1:]] == [], f"{name}: a smuggled request was answered"
        assert answers == [] or answers[0].status == 400


def test_w23_lines_that_end_without_carriage_return_hide_no_header(endpoint: Endpoint) -> None:
    """W23, RFC 9112 2.2: a bare line feed is refused, or ends the line for everyone."""
    body = encoded(endpoint.chat(max_tokens=1))
    head = lines(endpoint, "X-A: b\nTransfer-Encoding: chunked", f"Content-Length: {len(body)}")
    answers = post(endpoint, head, body)
    assert answers == [] or answers[0].status == 400


@pytest.mark.parametrize(
    "line", [b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /\xff HTTP/9.9\r\n\r\n"]
)
def test_w23_what_is_not_http_is_refused(endpoint: Endpoint, line: bytes) -> None:
    """W23: 400 or a closed connection, never silence and never 5xx."""
    answers = talk(endpoint.base_url, line, half_close=True)
    assert answers == [] or 400 <= answers[0].status < 500


@pytest.mark.parametrize(
    "more", [["X-Long: " + "x" * 200_000], [f"X-{i}: {'y' * 50}" for i in range(5000)]], ids=["one", "many"]
)
def test_w23_a_header_that_is_too_large_is_refused(endpoint: Endpoint, more: list[str]) -> None:
    """W23, RFC 6585 section 5: 431 or 400 or a closed connection; headers are no place for megabytes."""
    answers = post(endpoint, lines(endpoint, "Content-Length: 0", *more))
    assert answers == [] or answers[0].status in (400, 413, 431)
    assert endpoint.send(CHAT, endpoint.chat(max_tokens=1)).status_code == 200


@pytest.mark.parametrize(
    "parts", [[b"zz\r\n"], [b"ffffffffffffffffff\r\n"], [b"5\r\nabcdefgh\r\n0\r\n\r\n"]], ids=repr
)
def test_w23_a_broken_chunk_is_refused(endpoint: Endpoint, parts: list[bytes]) -> None:
    """W23, RFC 9112 7.1: sizes that are no hexadecimal number, too large, or wrong."""
    answers = post(endpoint, lines(endpoint, CHUNKED), *parts, half_close=True)
    assert answers == [] or answers[0].status == 400


def test_w23_a_client_that_stops_in_its_body_gets_no_answer_from_an_engine(endpoint: Endpoint) -> None:
    """W23: half a request is not a request."""
    endpoint.need_engine()
    body = encoded(endpoint.chat(x_half="half-sent"))
    head = lines(endpoint, f"Content-Length: {len(body) + 10}")
    answers = post(endpoint, head, body, half_close=True)
    assert answers == [] or answers[0].status == 400
    assert b"half-sent" not in endpoint.received().body
