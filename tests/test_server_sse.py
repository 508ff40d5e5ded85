"""Cutting event streams: whatever TCP does, whole events come out, in order and untouched."""

import json
import re
from itertools import cycle
from typing import Any

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import UpstreamFailed
from server.client.chunks import framed
from server.inference import dialects, sse, token_event

text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)
FIELDS = ["data: {}", "data:{}", ": {}", "event: x\ndata: {}", "id: 7\nretry: 9\n:{}", "event: {}"]
lf_events = st.lists(st.tuples(st.sampled_from(FIELDS), text), min_size=1, max_size=8).map(
    lambda rows: [form.format(body) + "\n\n" for form, body in rows]
)


def cut(raw: bytes, data: st.DataObject) -> list[bytes]:
    """What the relay makes of `raw` when it comes in pieces, as TCP may make them."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    cutter = sse.EventCutter()
    out = [cutter.feed(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert not cutter.pending.strip(b"\n"), "an empty line may wait, nothing else"
    return [block for block in out if block]


# A CR and a LF that ended two lines would together end one.
line_ends = st.just(["\r"]) | st.lists(st.sampled_from(["\n", "\r\n"]), min_size=1, max_size=5)


@given(lf_events, line_ends, st.sampled_from(["", "\ufeff"]), st.data())
def test_any_dialect_cut_anywhere_gives_the_events_of_the_same_stream_with_line_feeds(
    stream: list[str], ends: list[str], mark: str, data: st.DataObject
) -> None:
    whole = "".join(stream)
    end = cycle(ends)
    out = cut((mark + re.sub("\n", lambda _: next(end), whole)).encode(), data)
    assert b"".join(out).decode() == whole
    assert all(block.endswith(b"\n\n") for block in out)
    assert [event.decode() for block in out for event in sse.split_events(block)] == stream


@given(lf_events, st.data())
def test_events_are_counted_alike_however_they_are_cut(stream: list[str], data: st.DataObject) -> None:
    carrying = [event for event in stream if re.match(r"(event: x\n)?data:\s*\S", event, re.ASCII)]
    empty = data.draw(
        st.sampled_from(
            ["", "\n", "\n\n", "data:\n\n", "data: \n\n", "data:\t \n\n", "data\n\n", ": data: x\n\n"]
        )
    )
    out = cut("".join(event + empty for event in stream).encode(), data)
    assert sum(sse.counted(block)[1] for block in out) == len(carrying)


def test_json_on_several_data_lines_comes_out_on_one() -> None:
    event = b'id: 3\ndata: {"choices":\ndata: [],\ndata:"usage":{}}\n\n'
    block, count = sse.counted(event + b"data: {}\n\n")
    assert count == 2
    assert block == b'id: 3\ndata: {"choices": [], "usage":{}}\n\ndata: {}\n\n'
    text_event = b"data: two\ndata: lines\n\n"
    assert sse.counted(text_event) == (text_event, 1)


def test_events_without_data_are_left_out_and_comments_stay() -> None:
    block = b": keep-alive\n\nevent: ping\n\nid: 3\nretry: 5\n\ndata:\n\ndata: {}\n\n: end\n\n"
    assert sse.counted(block) == (b": keep-alive\n\ndata: {}\n\n: end\n\n", 1)


def test_counts_are_found_after_nulls() -> None:
    null = b'data: {"choices":[{}],"usage":null}\n\n'
    total = b'data: {"id":"a","choices":[],"usage": {"prompt_tokens":3,"completion_tokens":2}}\n\n'
    assert sse.has_counts(null * 2 + total + sse.DONE)
    assert not sse.has_counts(null + sse.DONE)
    assert not sse.has_counts(sse.DONE)
    assert sse.counted_event(null + total + sse.DONE) == total


def test_an_event_that_never_ends_is_searched_once() -> None:
    cutter = sse.EventCutter()
    assert not any(cutter.feed(b"x" * 1000) for _ in range(50))
    assert cutter.size == 50_000
    assert cutter.feed(b"\n") == b""
    assert cutter.feed(b"\ny") == b"x" * 50_000 + b"\n\n"
    assert (cutter.pending, cutter.size) == (b"y", 1)


number = st.integers(0, 9) | st.none()
counts = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens_details"]),
    number | st.dictionaries(st.just("cached_tokens"), number),
)


@given(
    st.lists(
        st.tuples(
            st.one_of(text, st.sampled_from(['],"usage":{"a":1}', '"choices":[]', "}}", '"usage":null'])),
            st.none() | counts,
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_counts_on_the_events_are_taken_out_and_nothing_else(
    rows: list[tuple[str, object]], separators: tuple[str, str]
) -> None:
    def event(said: str, usage: object) -> bytes:
        chunk: dict[str, object] = {"id": "1", "choices": [{"delta": {"content": said}}]}
        if usage is not None:
            chunk["usage"] = usage
        return b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=False, separators=separators).encode()

    block = b"".join(event(said, usage) for said, usage in rows)
    assert sse.without_usage(block) == b"".join(event(said, None) for said, _ in rows)
    assert sse.find_total(block) == -1
    total = b'data: {"choices":%b[],"usage":{}}\n\n' % separators[1][1:].encode()
    assert sse.find_total(block + total) == len(block) + len(b"data: {")


PLAIN: tuple[object, object, dict[str, object]] = (None, None, {})
tricky = st.sampled_from(['"},"logprobs":null', '],"usage":{"a":1}', '\\"', "}}", "{", "[DONE]", "data: "])


@given(
    st.lists(
        st.tuples(
            st.one_of(text, tricky),
            st.one_of(
                st.just(PLAIN),
                st.tuples(
                    st.sampled_from([None, "stop", "abort"]),
                    st.none() | st.just({"cached_tokens": 1}),
                    st.sampled_from([{}, {"error": {"message": "x"}}, {"error": "x"}]),
                ),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_events_that_look_like_one_seen_before_lose_their_counts_and_nothing_else(
    rows: list[tuple[str, tuple[object, object, dict[str, object]]]],
) -> None:
    def event(said: str, reason: object, details: object, more: dict[str, object]) -> bytes:
        choice = {"index": 0, "delta": {"content": said}, "logprobs": None, "finish_reason": reason}
        counts = {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": details}
        chunk = {"id": "1", "object": "chat.completion.chunk", "choices": [choice], "usage": counts}
        return b"data: %b\n\n" % json.dumps(chunk | more, ensure_ascii=False, separators=(",", ":")).encode()

    seen = token_event.token_event(event("가", *PLAIN))
    assert seen is not None
    events = [event(said, *rest) for said, rest in rows]
    chunk, count = seen.relayed(b"".join(map(framed, events)))
    if all(rest == PLAIN for _, rest in rows):
        assert (chunk, count) == (framed(b"".join(map(sse.without_usage, events))), len(rows))
    else:
        assert (chunk, count) == (b"", 0)


def test_the_model_gets_the_name_it_was_asked_by_and_the_text_keeps_it() -> None:
    form = (
        b'data: {"id":"1","model":"%b","choices":[{"index":0,"delta":{"content":"%b"},'
        b'"finish_reason":null}]%b}\n\n'
    )
    counts, says = b',"usage":{"prompt_tokens":3,"completion_tokens":2}', r"\"model\":\"v2\" 가".encode()
    seen = token_event.token_event(
        form % (b"v2", b"a", counts), (re.compile(rb'("model":)"v2"'), rb'\g<1>"chat"')
    )
    assert seen is not None
    chunk, count = seen.relayed(framed(form % (b"v2", says, counts)) * 2)
    assert (chunk, count) == (framed(form % (b"chat", says, b"") * 2), 2)


class Body:
    """llhttp's view of a chunked body."""

    def __init__(self, chunks: bytes) -> None:
        self.bytes = b""
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        httptools.HttpResponseParser(self).feed_data(head + chunks)

    def on_body(self, body: bytes) -> None:
        self.bytes += body


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
    st.integers(0, 700),
    st.sampled_from([b"", b"x", b"\n", b"\r\n", b"0", b"5\r\n", b"\n\n\r\n"]),
    st.integers(0, 6),
)
@example([0], 3, b"0", 0)
@example([0, 0], 3, b"", 0)
def test_only_chunks_that_are_framed_as_they_should_be_are_taken(
    sizes: list[int], at: int, put_in: bytes, cut_out: int
) -> None:
    choice = b'{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}'
    form = b'data: {"id":"1","choices":[%b],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    events = [form % choice % (b"x" * size) for size in sizes]
    seen = token_event.token_event(events[0])
    assert seen is not None
    data = b"".join(map(framed, events))
    changed = data[:at] + put_in + data[at + cut_out :]
    chunk, count = seen.relayed(changed)
    if count:
        block = Body(chunk).bytes
        assert chunk == framed(block)
        assert block == sse.without_usage(Body(changed).bytes)
        assert block.count(b"\n\n") == count
    else:
        assert changed != data


@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 40))
def test_an_event_that_was_tampered_with_is_not_taken_for_one_seen_before(
    put_in: bytes, at: int, cut_out: int
) -> None:
    choice = b'{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}'
    form = b'data: {"id":"1","choices":[%b],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    event = form % choice % "가나".encode()
    seen = token_event.token_event(event)
    assert seen is not None
    changed = event[:at] + put_in + event[at + cut_out :]
    chunk, count = seen.relayed(framed(changed or b" "))
    if count:
        kept = Body(chunk).bytes
        payload: Any = sse.event_json(kept)
        if payload is not None:  # what is no JSON is passed on in any case
            assert [c["finish_reason"] for c in payload["choices"]] == [None]
            assert not dialects.is_error(payload)
        assert kept.endswith(b"\n\n")
        assert kept.count(b"\n") == 2


def test_an_unfinished_event_is_held_back() -> None:
    cutter = sse.EventCutter()
    assert cutter.feed(b"data: 1\n\ndata: 2") == b"data: 1\n\n"
    assert cutter.pending == b"data: 2"
    assert cutter.feed(b"\n\n") == b"data: 2\n\n"


def test_done_is_recognised_as_an_event_and_not_inside_an_answer() -> None:
    assert dialects.is_last(b"data: [DONE]\n\n")
    assert dialects.is_last(b"data:[DONE]\r\n\r\n")
    assert not dialects.is_last(b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n')


def test_abort_is_recognised_only_as_a_finish_reason() -> None:
    assert dialects.is_aborted({"choices": [{"finish_reason": "abort"}]})
    assert not dialects.is_aborted({"choices": [{"finish_reason": "stop", "delta": {"content": "abort"}}]})
    assert not dialects.is_aborted({"choices": None})


def test_error_frames_end_with_done_and_keep_hangul_readable() -> None:
    frames = dialects.error_frames(UpstreamFailed("작업자가 멈췄습니다."))
    first, second = sse.split_events(frames)
    payload: Any = sse.event_json(first)
    assert payload is not None
    assert payload["error"]["message"] == "작업자가 멈췄습니다."
    assert "작업자".encode() in first
    assert dialects.is_last(second)
