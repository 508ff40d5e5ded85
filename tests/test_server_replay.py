"""W29 in full: streams recorded from vLLM, cut at every byte, pass the gateway unchanged.

tests/conformance/test_replay.py does a sample of it against any URL.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.conformance.endpoint import Endpoint, encoded, tls
from tests.support.conformance.record_streams import Recording, recordings
from tests.support.conformance.stacks import scripted_stack
from tests.support.processes import PATIENCE_S

RECORDED = {recording.name: recording for recording in recordings()}
USAGE = re.compile(rb',"usage":\{[^{}]*\}')


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with scripted_stack(tmp_path_factory.mktemp("replay")) as started:
        yield started


def ask(endpoint: Endpoint, recording: Recording, cuts: list[int], **fields: Any) -> bytes:
    """What the client gets when the engine cuts its stream there."""
    body = recording.request | {"model": endpoint.model, "x_cuts": cuts} | fields
    return endpoint.stream(recording.path, body).body


def every_cut(endpoint: Endpoint, recording: Recording) -> list[int]:
    """Replay once for every byte, cut before it; the places after which the bytes differed."""
    headers = endpoint.headers()
    url = endpoint.root + recording.path

    def differs(client: httpx2.Client, cut: int) -> bool:
        body = encoded(recording.request | {"model": endpoint.model, "x_cuts": [cut]})
        return client.post(url, content=body, headers=headers).content != recording.stream

    places = range(1, len(recording.stream))
    with (
        httpx2.Client(verify=tls(), trust_env=False, timeout=PATIENCE_S) as one,
        httpx2.Client(verify=tls(), trust_env=False, timeout=PATIENCE_S) as two,
    ):
        with ThreadPoolExecutor(2) as pool:
            halves = pool.map(
                lambda c: [p for p in places[c[0] :: 2] if differs(c[1], p)], [(0, one), (1, two)]
            )
            return sorted(place for half in halves for place in half)


def test_every_kind_of_stream_was_recorded() -> None:
    assert {recording.path for recording in RECORDED.values()} == {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/responses",
    }
    assert len(RECORDED) >= 12
    assert any("토큰".encode() in recording.stream for recording in RECORDED.values())


@pytest.mark.parametrize("name", ["chat-token-ids"])
def test_a_cut_at_any_one_byte_changes_nothing(endpoint: Endpoint, name: str) -> None:
    endpoint.replay(RECORDED[name].stream)
    assert every_cut(endpoint, RECORDED[name]) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_cut_at_any_one_byte_of_any_recording_changes_nothing(endpoint: Endpoint, name: str) -> None:
    endpoint.replay(RECORDED[name].stream)
    assert every_cut(endpoint, RECORDED[name]) == []


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_a_stream_that_comes_byte_by_byte_is_the_same(endpoint: Endpoint, name: str) -> None:
    recording = RECORDED[name]
    endpoint.replay(recording.stream)
    assert ask(endpoint, recording, list(range(1, len(recording.stream)))) == recording.stream


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(RECORDED)), data=st.data())
def test_any_cuts_change_nothing(endpoint: Endpoint, name: str, data: st.DataObject) -> None:
    recording = RECORDED[name]
    cuts = data.draw(
        st.lists(st.integers(1, len(recording.stream) - 1), unique=True, max_size=40).map(sorted)
    )
    endpoint.replay(recording.stream)
    assert ask(endpoint, recording, cuts) == recording.stream


@pytest.mark.parametrize("name", ["chat-usage", "messages", "responses"])
@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
def test_other_line_ends_and_byte_order_marks_come_out_as_line_feeds(
    endpoint: Endpoint, name: str, end: bytes, mark: str
) -> None:
    recording = RECORDED[name]
    stream = b": keep-alive\n\n" + recording.stream
    sent = mark.encode() + stream.replace(b"\n", end)
    endpoint.replay(sent)
    for cuts in ([], list(range(1, len(sent)))):
        assert ask(endpoint, recording, cuts) == stream


def counted_on_every_event(name: str) -> bytes:
    """A recording as vLLM streams it when it is asked for running usage."""
    stream = RECORDED[name].stream
    assert USAGE.search(stream), "this recording has no usage"
    return stream


@pytest.mark.parametrize("each", [False, True], ids=["in one piece", "byte by byte"])
def test_usage_that_only_the_gateway_asked_for_is_taken_out_and_nothing_else(
    endpoint: Endpoint, each: bool
) -> None:
    recording, stream = RECORDED["chat-running-usage"], counted_on_every_event("chat-running-usage")
    endpoint.replay(stream)
    cuts = list(range(1, len(stream))) if each else []
    events = [event + b"\n\n" for event in stream.removesuffix(b"\n\n").split(b"\n\n")]
    without = [USAGE.sub(b"", event) for event in events]
    (last,) = (event for event in events if b'"choices":[]' in event)
    assert ask(endpoint, recording, cuts) == stream
    asked = {"stream_options": {"include_usage": True}}
    expected = [event if event == last else less for event, less in zip(events, without, strict=True)]
    assert ask(endpoint, recording, cuts, **asked) == b"".join(expected)
    expected = [less for event, less in zip(events, without, strict=True) if event != last]
    assert ask(endpoint, recording, cuts, stream_options=None) == b"".join(expected)
