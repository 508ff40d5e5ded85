"""Server-sent events as our own parts read them: split anywhere, and with any text in them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from common.sse import SseDecoder, events_of


@given(
    texts=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1), max_size=6),
    line_end=st.sampled_from([b"\n", b"\r\n"]),
    data=st.data(),
)
def test_events_survive_any_split(texts: list[str], line_end: bytes, data: st.DataObject) -> None:
    events = [json.dumps({"글": text}, ensure_ascii=False) for text in texts]
    stream = b"".join(
        b": keep-alive" + line_end + b"data: " + event.encode() + line_end * 2 for event in events
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder = SseDecoder()
    seen: list[str] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        seen += [event.data for event in decoder.feed(stream[start:end])]
    assert seen == events


def test_hangul_over_a_chunk_border_is_whole() -> None:
    decoder = SseDecoder()
    stream = "data: 한글\n\n".encode()
    seen = [event.data for byte in stream for event in decoder.feed(bytes([byte]))]
    assert seen == ["한글"]


def test_lines_of_one_event_are_joined_and_other_fields_left_out() -> None:
    stream = b"event: x\ndata: a\ndata:b\nid: 3\n\nevent: no data\n\ndata: c\n\ndata: half"
    assert list(events_of([stream])) == [("x", "a\nb"), ("", "c")]


def test_only_a_line_end_of_the_standard_ends_a_line() -> None:
    """Not what Unicode calls one: JSON has these as they are, and an HTTP client's lines end there."""
    text = "가\x0b나\x0c다\x1c라\x85마\u2028바\u2029사"
    assert list(events_of([f"data: {text}\n\n".encode()])) == [("", text)]
