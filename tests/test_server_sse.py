"""Cutting event streams: whatever TCP does, whole events come out, in order and untouched."""

import json

from hypothesis import given
from hypothesis import strategies as st

from common.errors import UpstreamFailed
from server import sse

text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)
events = st.lists(
    st.tuples(
        st.sampled_from(["data: {}", ": {}", "event: x\ndata: {}"]), text, st.sampled_from(["\n\n", "\n\r\n"])
    ),
    min_size=1,
    max_size=8,
).map(lambda rows: [(form.format(body) + end).encode() for form, body, end in rows])


@given(events, st.data())
def test_any_cut_of_the_stream_gives_back_the_same_whole_events(
    stream: list[bytes], data: st.DataObject
) -> None:
    raw = b"".join(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    cutter = sse.EventCutter()
    out = [cutter.feed(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert b"".join(out) == raw
    assert cutter.pending == b""
    for block in filter(None, out):
        assert block.endswith((b"\n\n", b"\n\r\n"))
    assert [event for block in out for event in sse.split_events(block)] == stream


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


def test_an_unfinished_event_is_held_back() -> None:
    cutter = sse.EventCutter()
    assert cutter.feed(b"data: 1\n\ndata: 2") == b"data: 1\n\n"
    assert cutter.pending == b"data: 2"
    assert cutter.feed(b"\n\n") == b"data: 2\n\n"


def test_done_is_recognised_as_an_event_and_not_inside_an_answer() -> None:
    assert sse.is_last(b"data: [DONE]\n\n")
    assert sse.is_last(b"data:[DONE]\r\n\r\n")
    assert not sse.is_last(b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n')


def test_abort_is_recognised_only_as_a_finish_reason() -> None:
    assert sse.is_aborted({"choices": [{"finish_reason": "abort"}]})
    assert not sse.is_aborted({"choices": [{"finish_reason": "stop", "delta": {"content": "abort"}}]})
    assert not sse.is_aborted({"choices": None})


def test_error_frames_end_with_done_and_keep_hangul_readable() -> None:
    frames = sse.error_frames(UpstreamFailed("작업자가 멈췄습니다."))
    first, second = sse.split_events(frames)
    payload = sse.event_json(first)
    assert payload is not None
    assert payload["error"]["message"] == "작업자가 멈췄습니다."
    assert "작업자".encode() in first
    assert sse.is_last(second)
