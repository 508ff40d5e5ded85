"""W29: recorded streams, cut anywhere, come out byte for byte."""

import random

import pytest

from tests.support.conformance.endpoint import Endpoint
from tests.support.conformance.record_streams import Recording, recordings


def cuts(length: int, how: str) -> list[int]:
    """Where to cut a stream of this length."""
    if how == "every byte":
        return list(range(1, length))
    return sorted(random.Random(how).sample(range(1, length), 12))


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
@pytest.mark.parametrize("how", ["every byte", "twelve places", "twelve others"])
def test_w29_a_recorded_stream_comes_out_as_it_was(
    endpoint: Endpoint, recording: Recording, how: str
) -> None:
    """W29: wherever the engine's packets end, the client gets the recorded bytes and no others."""
    endpoint.replay(recording.stream)
    need = {"/v1/messages": "messages", "/v1/responses": "responses", "/v1/completions": "completions"}
    endpoint.need(need.get(recording.path, "chat"))
    body = recording.request | {"model": endpoint.model, "x_cuts": cuts(len(recording.stream), how)}
    assert endpoint.stream(recording.path, body).body == recording.stream
