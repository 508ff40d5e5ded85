"""Large request bodies: thinned out, changed, and whole again to the byte."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import BadRequest
from server.client import large_body
from server.client.large_body import thinned
from server.client.request import conversation_prefix, parse_head
from server.client.splice import JsonObject

LONG = '긴 글 \\ " {[,:]} ' * 500
names = st.sampled_from(["model", "messages", "stream", "n", "stream_options", "x", "tools", "", '"model"'])
values = st.recursive(
    st.none() | st.integers(-9, 9) | st.sampled_from(["", "가", '"model":"b"', LONG, '\\"', "]},{["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
blank = st.sampled_from(["", " ", "\n\t", " " * 5000])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    members = [("model", "dolly"), *draw(st.lists(st.tuples(names, values), max_size=8))]
    members = [
        (name, "dolly" if name == "model" else value) for name, value in draw(st.permutations(members))
    ]
    members = [(name, True if name == "stream" else value) for name, value in members]
    space = draw(blank)

    def key(name: str) -> str:
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
        return f'"{escaped}"' if draw(st.booleans()) else json.dumps(name)

    text = f",{space}".join(
        f"{key(name)}{space}:{json.dumps(value, ensure_ascii=draw(st.booleans()))}{space}"
        for name, value in members
    )
    return f"{space}{{{text}}}{space}".encode()


@settings(deadline=None, max_examples=60)
@given(bodies())
def test_a_thin_body_is_read_and_changed_as_the_whole_one(body: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large_body, "LARGE_BYTES", 0)
        patch.setattr(large_body, "CHECKED_BYTES", 0)
        patch.setattr(large_body, "KEPT_BYTES", 40)
        thin = asyncio.run(thinned(body))
    expected = parse_head(body)
    assert (thin.head.model, thin.head.stream) == (expected.model, expected.stream)
    assert bool(thin.head.tools) == bool(expected.tools)
    assert thin.whole(thin.body) == body
    for name in ("model", "stream_options", "request_id"):
        small, whole = JsonObject(thin.body), JsonObject(body)
        assert (name in small) == (name in whole)
        small.set(name, {"a": 1})
        whole.set(name, {"a": 1})
        assert thin.whole(small.text()) == whole.text()


@pytest.mark.parametrize(
    "body", [b'{"model":"m","x":"%b', b'{"model":"m","x":[%b', b'["%b"]', b'{"model":"m"}%b']
)
async def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        await thinned(body % (b"x" * 2_000_000))


async def test_a_long_conversation_goes_where_its_first_turns_went() -> None:
    def body(turns: int) -> bytes:
        messages: list[Any] = [{"role": "user", "content": f"{n} {LONG}"} for n in range(turns)]
        return json.dumps({"model": "m", "messages": messages}, ensure_ascii=False).encode()

    short, long = [conversation_prefix((await thinned(body(turns))).head) for turns in (3, 300)]
    assert short == long != b""
