"""Finished requests for the tests of what is made of them: metrics, traces, log lines."""

from typing import Any

import msgspec

from server.record import RequestRecord, Usage

ANSWERED = RequestRecord(
    request_id="req-secret-id",
    route="/v1/chat/completions",
    began=1000.0,
    began_ns=1_700_000_000_000_000_000,
    model="돌리",
    key_id="key-7",
    stream=True,
    queued_s=0.125,
    attempts=1,
    upstream="worker-1",
    upstream_s=0.25,
    first_event_s=0.5,
    total_s=2.5,
    status=200,
    outcome="ok",
    usage=Usage(prompt_tokens=100, completion_tokens=41, cached_tokens=64),
)
"""A streamed answer in the normal way of things."""


def request(**changes: Any) -> RequestRecord:
    """ANSWERED with some fields changed."""
    return msgspec.structs.replace(ANSWERED, **changes)
