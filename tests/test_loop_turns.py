"""Long work lets others run: by its state, not by the clock, which is different on each machine."""

import asyncio
import json
from collections.abc import Awaitable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from common import turns
from common.errors import BadRequest, ModelNotFound, UnsupportedMediaType
from common.feedback import Rating
from common.http_protocol import FEED_BYTES
from server.api.public import PromptRequest
from server.client import json_members, splice
from server.client.form import FormHead, parse_form_head, with_form_model
from server.client.json_members import MOST_MEMBERS, Member, Unsound, members
from server.client.large_body import thinned
from server.client.protocol import GatewayProtocol
from server.client.splice import JsonObject
from server.inference import dialects, sse, upstream_errors
from server.inference.resume import plan_resumption
from server.inference.token_estimate import image_size
from server.inference.usage import estimated_answer_tokens
from server.upstreams.choice import LONGEST_NAME, resolve
from server.upstreams.coalescing import Coalescing
from server.upstreams.connect import Origin
from server.upstreams.connection import PIECE_BYTES, Connection, ConnectionPool
from server.upstreams.directory import Directory
from server.upstreams.upstream import Reported, Upstream
from tests.support.asgi_server import serving


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)


async def others_ran(work: Awaitable[Any]) -> tuple[Any, int]:
    """The result of `work`, and how many turns of the loop others had meanwhile."""
    count = 0

    async def others() -> None:
        nonlocal count
        while True:
            count += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    try:
        return await work, count
    finally:
        counting.cancel()


BIG = 1_200_000
BODIES = {
    "numbers": b'"x":[%b1]' % (b"1," * (BIG // 2)),
    "brackets": b'"x":%b%b' % (b"[" * (BIG // 2), b"]" * (BIG // 2)),
    "빈 객체": b'"x":[%b{}]' % (b"{}," * (BIG // 3)),
    "nested": b'"x":[%b0]' % (b'[{"a":[1]}],' * (BIG // 12)),
    "한글 이스케이프": b'"x":"%b"' % (b"\\uac00" * (BIG // 6)),
    "한글": '"x":"{}"'.format("가" * (BIG // 3)).encode(),
    "white space in it": b'"x":[%b1]' % (b" " * BIG),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_body_is_walked_through_in_steps_and_stays_whole(name: str) -> None:
    body = b'{"model":"m",%b,"stream":true}' % BODIES[name]
    thin, ran = await others_ran(thinned(body))
    assert (thin.head.model, thin.head.stream) == ("m", True)
    assert len(thin.body) < 1000
    assert thin.whole(thin.body) == body
    assert ran >= 2


@pytest.mark.parametrize("name", BODIES)
def test_no_step_reaches_far(name: str) -> None:
    body = b'{"model":"m",%b}' % BODIES[name]
    steps = list(members(body))
    assert len([step for step in steps if step is not None]) == 2
    if name not in ("한글", "한글 이스케이프"):  # a string's end is found at the speed of memory
        assert len(steps) - 2 >= (len(body) - 100) // (json_members.STEPS * json_members.STEP_BYTES * 2)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m"%b}' % (b',"":0' * (MOST_MEMBERS + 1) + b',"x":"' + b"a" * 70_000 + b'"'),
        '{"model":"m"%s}' % (',"가 나 다 라 마":["바 사 아 자 차"]' * (MOST_MEMBERS + 1)),
        b'{"model":%b"m"}' % (b" " * 800_000),
        b'{"model":"m",%b"x":1}' % (b" " * 800_000),
        b'{"model":"%b"}' % (b"m" * 100_000),
        '{"model":"%s"}' % ("모델" * 50_000),
        b'{"model":"m","x":1',
        b'{"model":"m","x":1}}' + b" " * 70_000,
    ],
)
async def test_what_no_client_writes_is_refused(body: bytes | str) -> None:
    with pytest.raises(BadRequest):
        await thinned(body.encode() if isinstance(body, str) else body)


TEXT = st.sampled_from(["a", "b", "c", "model", "가", '"', "\\"])
LEAVES = st.none() | st.integers() | st.sampled_from(["", "가", "]},", '"a":1', '\\"'])
NESTED = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(TEXT, LEAVES, max_size=3)
VALUES = NESTED | st.lists(NESTED, max_size=3) | st.dictionaries(TEXT, NESTED, max_size=3)
CHANGES = st.lists(st.tuples(st.sampled_from(["set", "remove", "rename"]), TEXT, TEXT), max_size=5)


@given(
    st.lists(st.tuples(TEXT, VALUES), max_size=6), CHANGES, st.booleans(), st.sampled_from(["", " ", "\n "])
)
def test_changes_of_fields_are_those_of_a_dict(
    fields: list[tuple[str, Any]], changes: list[tuple[str, str, str]], escaped: bool, space: str
) -> None:
    parts = [
        f"{json.dumps(name, ensure_ascii=escaped)}{space}:{space}{json.dumps(value, ensure_ascii=escaped)}"
        for name, value in fields
    ]
    text = f"{space}{{{space}{f'{space},{space}'.join(parts)}{space}}}{space}"
    expected, changed = json.loads(text), JsonObject(text.encode())
    for change, name, other in changes:
        assert (name in changed) == (name in expected)
        if change == "set":
            expected[name] = {"new": 1}
            changed.set(name, {"new": 1})
        elif change == "remove":
            expected.pop(name, None)
            changed.remove(name)
        elif name in expected and other not in expected:
            expected[other] = expected.pop(name)
            changed.rename(name, other)
    assert json.loads(changed.text()) == expected


@given(st.binary(max_size=60) | st.text('{}[]",:1 \\a가', max_size=60).map(str.encode))
def test_any_bytes_are_walked_through(text: bytes) -> None:
    try:
        found = [member for member in members(text) if member is not None]
    except Unsound:
        return
    for member in found:
        assert 0 < member.key < member.key_end < member.value < member.value_end <= len(text)


def test_fields_are_looked_for_once_however_many_change(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = 0

    def counted(text: bytes) -> Iterator[Member | None]:
        nonlocal walks
        walks += 1
        return members(text)

    monkeypatch.setattr(splice, "members", counted)
    body = JsonObject('{"model":"가","\\u0061":1,"b":2}'.encode())
    for name in ("model", "a", "c", "d"):
        assert (name in body) == (name not in "cd")
        body.set(name, 0)
    body.remove("b")
    assert walks == 1
    assert json.loads(body.text()) == {"model": 0, "a": 0, "c": 0, "d": 0}


FORM = b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n'


async def test_a_form_of_many_fields_lets_others_run_and_keeps_its_bytes() -> None:
    before, after = FORM % ("가".encode(), b"x\r\n--c") * 400, FORM % (b"file", b"\r\n" * 9000) + b"--b--\r\n"
    body = before + FORM % (b"model", b"alias") + FORM % (b"stream", b"True") + after
    head, ran = await others_ran(parse_form_head('multipart/form-data; boundary="b"', body))
    assert isinstance(head, FormHead)
    assert (head.model, head.stream) == ("alias", True)
    assert ran > 5
    assert with_form_model(body, head, "모델") == body.replace(b"alias", "모델".encode())


async def test_forms_that_nobody_writes_are_refused() -> None:
    good = 'multipart/form-data; boundary="b"'
    for content_type, body in (
        (good, FORM % (b"model", b"m" * 5000) + b"--b--\r\n"),
        (good, FORM % (b"a", b"m") + b"--b--\r\n"),
        (good, b"--b\r\n" + b"a: b\r\n" * 100_000 + b"\r\n\r\n--b--\r\n"),
    ):
        with pytest.raises(BadRequest):
            await parse_form_head(content_type, body)
    with pytest.raises(UnsupportedMediaType):
        await parse_form_head('multipart/form-data; x="' + '\\"' * 30_000 + '"; boundary=b', b"")


class Reader:
    """A transport that notes whether it reads."""

    def __init__(self) -> None:
        self.reads, self.closed = True, False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.closed = True


class Stream:
    """A receiver that notes how much comes at once."""

    def __init__(self, connection: Connection, is_stream: bool) -> None:
        self.connection, self.is_stream = connection, is_stream
        self.pieces: list[bytes] = []
        self.pauses = False

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        pass

    def on_chunks(self, data: bytes) -> int:
        return 0

    def on_data(self, data: bytes) -> None:
        self.pieces.append(data)
        if self.pauses:
            self.connection.pause()

    def on_end(self) -> None:
        pass

    on_broken = on_end


def connected(is_stream: bool) -> tuple[Connection, Stream, Reader]:
    reader = Reader()
    connection = Connection(ConnectionPool(1, Coalescing()), Origin("engine", 80, False))
    connection.connection_made(cast(asyncio.BaseTransport, reader))
    stream = Stream(connection, is_stream)
    connection.request(b"GET / HTTP/1.1\r\n\r\n", b"", stream)  # type: ignore[arg-type]
    connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    return connection, stream, reader


COMMENTS = b":\n\n" * 80_000


async def test_a_read_of_a_stream_is_looked_at_piece_by_piece() -> None:
    connection, stream, reader = connected(is_stream=True)
    connection.data_received(COMMENTS)
    assert sum(map(len, stream.pieces)) <= PIECE_BYTES
    assert not reader.reads
    seen = set()
    while not reader.reads:
        seen.add(len(stream.pieces))
        await asyncio.sleep(0)
    assert b"".join(stream.pieces) == COMMENTS
    assert len(seen) >= len(COMMENTS) // PIECE_BYTES


async def test_a_plain_answer_is_taken_at_once() -> None:
    connection, stream, reader = connected(is_stream=False)
    connection.data_received(COMMENTS)
    assert b"".join(stream.pieces) == COMMENTS
    while not reader.reads:
        await asyncio.sleep(0)


async def test_a_slow_client_holds_the_pieces_too_and_gets_all_of_them_in_order() -> None:
    connection, stream, reader = connected(is_stream=True)
    stream.pauses = True
    data = b"".join(b"data: %d\n\n" % number for number in range(20_000))
    connection.data_received(data)
    for expected in range(1, len(data) // PIECE_BYTES + 2):
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(stream.pieces) == expected
        assert not reader.reads
        connection.resume()
    assert b"".join(stream.pieces) == data


async def test_what_comes_behind_an_answer_ends_the_connection() -> None:
    connection, _, reader = connected(is_stream=True)
    connection.data_received(COMMENTS)
    connection._receiver = None
    for _ in range(3):
        await asyncio.sleep(0)
    assert reader.closed


def test_a_client_s_read_is_fed_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = GatewayProtocol._feed

    def noted(protocol: GatewayProtocol, data: bytes) -> None:
        fed.append(len(data))
        feed(protocol, data)

    monkeypatch.setattr(GatewayProtocol, "_feed", noted)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        body = b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    import httpx2

    with serving(app, GatewayProtocol) as url:
        for size in (10, FEED_BYTES, 5_000_000):
            assert httpx2.post(url, content=b"a" * size, trust_env=False).text == str(size)
        chunked = httpx2.post(url, content=iter([b"a"] * 20_000), trust_env=False)
        assert chunked.text == "20000"
    assert max(fed) <= FEED_BYTES


def test_a_large_event_is_known_by_a_few_fields() -> None:
    rest = b'"a":[%b1]' % (b"[]," * 60_000)
    assert sse.told(b'{"error":{"message":"x"},%b}' % rest)["error"] == {"message": "x"}
    told: Any = sse.told(b'{"choices":[{"finish_reason":"abort"}],%b}' % rest)
    assert told["choices"][0]["finish_reason"] == "abort"
    assert "choices" not in sse.told(b'{"choices":[%b{}]}' % (b"{}," * 60_000))
    assert dialects.is_error(sse.told(b'{"error":{"message":"%b"}}' % (b"x" * 200_000)))
    for values in (b"[]," * 300_000, b'"\\n",' * 300_000, b" " * 3_000_000):
        assert dialects.large_event_json(b'data: {"error":0,"a":[%b1]}\n\n' % values, "openai") is None
    assert sse.event_data(b"data:1\n" * 50_000 + b"\n") == b""


async def test_a_cut_stream_of_many_events_is_read_while_others_run() -> None:
    event = 'data: {"choices":[{"index":0,"delta":{"content":"가"}}]}\n\n'.encode()
    asked = b'{"model":"m","messages":[]}'
    plan, ran = await others_ran(plan_resumption(asked, event * 500 + b"\n\n" * 500))
    assert json.loads(plan.body)["messages"][-1]["content"] == "가" * 500
    assert ran > 100


def worker() -> Upstream:
    return Upstream("w", "worker", Reported("", SecretStr(""), {}))


@pytest.mark.parametrize("message", ["가" * 300_000, "http://a:b@c?key=d&" * 50_000, ["a"] * 100_000])
def test_of_an_upstream_s_error_so_much_is_told_as_people_read(message: Any) -> None:
    body = json.dumps({"error": {"message": message, "param": "p" * 100_000}}, ensure_ascii=False).encode()
    error = upstream_errors.from_response(worker(), 400, body, "/v1/chat/completions")
    assert 0 < len(error.message) <= 2 * upstream_errors.MESSAGE_CHARACTERS
    assert len(error.param or "") <= upstream_errors.MESSAGE_CHARACTERS


def test_headers_that_are_told_have_an_end() -> None:
    provider = Upstream("p", "external", Reported("", SecretStr(""), {}))
    headers = [(b"x-ratelimit-%d" % number, b"1") for number in range(3000)]
    headers += [(b"retry-after", b"9" * 60_000)]
    told = upstream_errors.told_headers(provider, headers)
    assert len(told) == upstream_errors.MOST_TOLD_HEADERS
    assert "retry-after" not in upstream_errors.told_headers(provider, headers[::-1])


@pytest.mark.parametrize("name", ["m" * 60_000, "모델" * 30_000])
def test_no_long_name_is_compared_with_others(name: str) -> None:
    with pytest.raises(ModelNotFound) as told:
        resolve(Directory(), name)
    assert str(len(name)) in told.value.message
    assert len(told.value.message) < LONGEST_NAME


def test_estimates_look_at_so_much_and_no_more() -> None:
    segments = b"\xff\xd8\xff" + b"\xe0\x00\x02\xff" * 10_000 + b"\xc0\x00\x0b\x08\x00\x10\x00\x20\x03"
    assert image_size(segments) is None
    many = b'{"content":[%b""]}' % (b'"",' * 100_000)
    assert estimated_answer_tokens(many) == -int(-len(many) * 0.3 // 1)


@pytest.mark.parametrize("body", [PromptRequest, Rating])
def test_of_many_broken_messages_the_first_is_told(body: type[BaseModel]) -> None:
    with pytest.raises(ValidationError) as refused:
        body.model_validate({"messages": [{}] * 10_000})
    assert sum(error["loc"][0] == "messages" for error in refused.value.errors()) <= 2
