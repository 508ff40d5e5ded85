"""The line that a finished request leaves: everything an operator asks for, nothing that is a secret."""

import json
import logging

import pytest

from common.logs import JsonFormatter, TextFormatter
from server.record import Usage
from server.telemetry import access_log
from server.telemetry.access_log import AccessLog, log_failed_request, log_request
from tests.support.records import request
from tests.support.until import until


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "server.access")


def test_an_answered_request_is_one_line_with_all_its_facts(caplog: pytest.LogCaptureFixture) -> None:
    log_request(request(traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01"))
    (record,) = caplog.records
    assert record.levelname == "INFO"
    body = json.loads(JsonFormatter().format(record))
    del body["time"]
    assert body == {
        "level": "info",
        "logger": "server.access",
        "message": "request",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "outcome": "ok",
        "total_ms": 2500.0,
        "model": "돌리",
        "first_event_ms": 500.0,
        "queue_ms": 125.0,
        "prompt_tokens": 100,
        "completion_tokens": 41,
        "cached_tokens": 64,
        "upstream": "worker-1",
        "attempts": 1,
        "key": "key-7",
        "request_id": "req-secret-id",
        "trace_id": "ab" * 16,
    }
    assert TextFormatter().format(record)[8:] == (
        " INFO    server.access: request method=POST route=/v1/chat/completions status=200 outcome=ok"
        " total_ms=2500.0 model=돌리 first_event_ms=500.0 queue_ms=125.0 prompt_tokens=100"
        " completion_tokens=41 cached_tokens=64 upstream=worker-1 attempts=1 key=key-7"
        f" request_id=req-secret-id trace_id={'ab' * 16}"
    )


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"outcome": "failed", "status": 200}, "WARNING"),  # broke off in the middle of a stream
        ({"outcome": "failed", "status": 502}, "WARNING"),
        ({"outcome": "refused", "status": 503}, "WARNING"),
        ({"outcome": "refused", "status": 429}, "INFO"),
        ({"outcome": "cancelled", "status": 200}, "INFO"),
        ({"outcome": "ok", "status": 200}, "INFO"),
    ],
)
def test_failed_requests_are_warnings_and_logged_in_any_case(
    caplog: pytest.LogCaptureFixture, changes: dict[str, object], level: str
) -> None:
    log_request(request(**changes))
    assert [record.levelname for record in caplog.records] == [level]
    caplog.clear()
    log_failed_request(request(**changes))
    assert [record.levelname for record in caplog.records] == ([level] if level == "WARNING" else [])


def test_a_refused_request_says_why(caplog: pytest.LogCaptureFixture) -> None:
    never_asked = {"upstream": "", "attempts": 0, "first_event_s": None, "usage": None, "queued_s": 0.0}
    refused = {"model": "", "outcome": "refused", "status": 404, "error_code": "model_not_found"}
    log_request(request(**never_asked, **refused))
    line = TextFormatter().format(caplog.records[0])
    assert "status=404 outcome=refused total_ms=2500.0 error=model_not_found key=key-7" in line
    assert "model=" not in line
    assert "upstream" not in line


def test_a_resumed_stream_and_estimated_counts_are_marked(caplog: pytest.LogCaptureFixture) -> None:
    log_request(request(resumed=1, usage=Usage(1, 2, estimated=True)))
    assert "estimated=True" in TextFormatter().format(caplog.records[0])
    assert "resumed=1" in TextFormatter().format(caplog.records[0])


def test_a_hostile_model_name_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    log_request(request(model='x"\n00:00:00 INFO server.access: forged \x1b[31m'))
    line = TextFormatter().format(caplog.records[0])
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert 'model="x\\"\\n00:00:00' in line


def test_nothing_is_formatted_below_the_level(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING, "server.access")
    monkeypatch.setattr(access_log, "request_fields", lambda record: pytest.fail("formatted for nobody"))
    log_request(request())
    assert caplog.records == []


async def test_lines_are_written_together_in_their_order_and_failures_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = AccessLog()
    log.add(request(route="/first"))
    assert caplog.records == []
    log.add(request(route="/failed", outcome="failed"))
    assert routes(caplog) == ["/first", "/failed"]
    log.add(request(route="/later"))
    await until(lambda: len(caplog.records) == 3)
    for number in range(access_log.MOST_LINES):
        log.add(request(route=f"/{number}"))
    assert len(caplog.records) == 3 + access_log.MOST_LINES
    assert routes(caplog)[2:5] == ["/later", "/0", "/1"]


def routes(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [record.__dict__["fields"]["route"] for record in caplog.records]
