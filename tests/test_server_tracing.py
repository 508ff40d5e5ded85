"""Traces: W3C trace context, and what a real OTLP/HTTP receiver gets of a request."""

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.record import FailedAttempt, RequestRecord
from server.telemetry import tracing
from server.telemetry.tracing import TRACEPARENT, Tracer, child_traceparent, open_tracer
from tests.support.processes import PATIENCE_S, free_port, wait_for
from tests.support.quiet_handler import QuietHandler, answering
from tests.support.records import request

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

TRACE, CLIENT_SPAN, SPAN = "ab" * 16, "cd" * 8, "ef" * 8
CLIENT = f"00-{TRACE}-{CLIENT_SPAN}-01"
OURS = f"00-{TRACE}-{SPAN}-01"
BEGAN_NS = 1_700_000_000_000_000_000

# -- trace context --------------------------------------------------------------------------------------

hexes = st.sampled_from("0123456789abcdef")


def hex_id(length: int) -> st.SearchStrategy[str]:
    return st.text(hexes, min_size=length, max_size=length).filter(lambda text: set(text) != {"0"})


@given(trace=hex_id(32), span=hex_id(16), flags=st.integers(0, 255))
def test_the_clients_trace_goes_on_under_a_new_span(trace: str, span: str, flags: int) -> None:
    version, trace_id, span_id, new_flags = child_traceparent(f"00-{trace}-{span}-{flags:02x}").split("-")
    assert (version, trace_id) == ("00", trace)
    assert span_id != span
    assert int(new_flags, 16) == flags & 3


@pytest.mark.parametrize(
    "value",
    [
        "",
        "garbage",
        f"ff-{TRACE}-{CLIENT_SPAN}-01",
        f"00-{'0' * 32}-{CLIENT_SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{CLIENT_SPAN}-01",
        f"00-{TRACE}-{CLIENT_SPAN}",
        f"00-{TRACE}-{CLIENT_SPAN}-01-more",
        f"00-{TRACE}-{CLIENT_SPAN}-01\n",
        f" {CLIENT}",
        f"{CLIENT},{CLIENT}",
        f"cc-{TRACE}-{CLIENT_SPAN}-01.more",
    ],
)
def test_an_invalid_trace_context_starts_a_new_trace(value: str) -> None:
    made = child_traceparent(value)
    assert TRACE not in made
    assert TRACEPARENT.fullmatch(made)
    assert made.endswith("-01")
    assert made != child_traceparent(value)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    made = child_traceparent(f"cc-{TRACE}-{CLIENT_SPAN}-01-what-the-future-brings")
    assert made.startswith(f"00-{TRACE}-")


@given(st.text())
def test_whatever_a_client_sends_the_result_is_valid(value: str) -> None:
    assert TRACEPARENT.fullmatch(child_traceparent(value))


# -- a collector ----------------------------------------------------------------------------------------


class Collector:
    """An OTLP/HTTP receiver that decodes what it gets."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.paths: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.paths.add(path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(resource.resource))
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, name: str) -> list[Any]:
        return sorted((s for s in self.spans if s.name == name), key=lambda s: s.start_time_unix_nano)


def attributes(of: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in of.attributes}


@contextmanager
def collecting(port: int = 0) -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.answer()

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    with answering(server) as url:
        yield collector, url


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)


def sent(*records: RequestRecord) -> Collector:
    with collecting() as (collector, endpoint):
        tracer = open_tracer(endpoint)
        assert tracer is not None
        for record in records:
            tracer.observe(record)
        tracer.close()
    assert tracer.dropped == 0
    return collector


def test_a_request_is_a_tree_that_the_engine_can_hang_below() -> None:
    collector = sent(request(client_traceparent=CLIENT, traceparent=OURS))
    assert collector.paths == {"/v1/traces"}
    assert collector.resources[0]["service.name"] == "kodolly-gateway"
    (server,) = collector.named("POST /v1/chat/completions")
    assert (server.trace_id.hex(), server.span_id.hex(), server.parent_span_id.hex()) == (
        TRACE,
        SPAN,
        CLIENT_SPAN,
    )
    assert server.kind == server.SPAN_KIND_SERVER
    assert server.status.code == server.status.STATUS_CODE_UNSET
    assert (server.start_time_unix_nano, server.end_time_unix_nano) == (BEGAN_NS, BEGAN_NS + 2_500_000_000)
    (first,) = server.events
    assert (first.name, first.time_unix_nano) == ("first_event", BEGAN_NS + 500_000_000)
    found = attributes(server)
    assert {name: found[name] for name in found if not name.startswith("kodolly.")} == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "kodolly",
        "gen_ai.request.model": "돌리",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 41,
        "gen_ai.usage.cache_read.input_tokens": 64,
    }
    assert found["kodolly.request_id"] == "req-secret-id"
    (queue,) = collector.named("queue")
    (asked,) = collector.named("chat 돌리")
    assert queue.parent_span_id == asked.parent_span_id == server.span_id
    assert (queue.start_time_unix_nano, queue.end_time_unix_nano) == (BEGAN_NS, BEGAN_NS + 125_000_000)
    assert asked.start_time_unix_nano == queue.end_time_unix_nano
    assert asked.end_time_unix_nano == server.end_time_unix_nano
    assert asked.kind == asked.SPAN_KIND_CLIENT
    assert attributes(asked)["kodolly.upstream"] == "worker-1"
    assert len({span.span_id for span in collector.spans}) == 3


def test_every_upstream_asked_has_a_span_with_its_error() -> None:
    failed = (
        FailedAttempt("worker-1", 1000.125, 0.25, "upstream_failed"),
        FailedAttempt("worker-2", 1000.375, 0.5, "upstream_timeout"),
    )
    collector = sent(request(traceparent=OURS, attempts=3, upstream="worker-3", failed_attempts=failed))
    spans = collector.named("chat 돌리")
    assert [attributes(s)["kodolly.upstream"] for s in spans] == ["worker-1", "worker-2", "worker-3"]
    assert [attributes(s).get("error.type") for s in spans] == ["upstream_failed", "upstream_timeout", None]
    assert [s.status.code == s.status.STATUS_CODE_ERROR for s in spans] == [True, True, False]
    assert spans[1].start_time_unix_nano == BEGAN_NS + 375_000_000
    assert spans[2].start_time_unix_nano == BEGAN_NS + 875_000_000


def test_failed_and_refused_requests_say_why() -> None:
    collector = sent(
        request(traceparent=OURS, outcome="failed", status=200, error_code="upstream_failed"),
        request(
            traceparent=f"00-{TRACE}-{'12' * 8}-01",
            outcome="refused",
            status=429,
            error_code="rate_limit_exceeded",
            attempts=0,
            first_event_s=None,
        ),
    )
    by_outcome = {attributes(s)["kodolly.outcome"]: s for s in collector.named("POST /v1/chat/completions")}
    failed, refused = by_outcome["failed"], by_outcome["refused"]
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == "upstream_failed"
    assert refused.status.code == refused.status.STATUS_CODE_UNSET  # the client's fault, by the conventions
    assert attributes(refused)["http.response.status_code"] == 429
    assert len(collector.named("chat 돌리")) == 1


def test_a_client_of_another_trace_is_no_parent() -> None:
    elsewhere = f"00-{'12' * 16}-{CLIENT_SPAN}-01"
    for theirs in ("", "garbage", elsewhere):
        collector = sent(request(client_traceparent=theirs, traceparent=OURS))
        assert collector.named("POST /v1/chat/completions")[0].parent_span_id == b""


def test_what_the_client_does_not_want_traced_is_not_sent() -> None:
    collector = sent(
        request(traceparent=f"00-{TRACE}-{SPAN}-00"), request(traceparent=""), request(traceparent=OURS)
    )
    assert len(collector.named("POST /v1/chat/completions")) == 1


def has_dropped(tracer: Tracer, count: int) -> bool:
    return tracer.dropped == count


def test_an_unreachable_collector_is_named_once_and_taken_up_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(tracing, "EVERY_S", 0.01)
    port = free_port()
    tracer = open_tracer(f"http://user:secret@127.0.0.1:{port}")
    assert tracer is not None
    for lost in (1, 2, 3):
        tracer.observe(request(traceparent=OURS))
        wait_for(partial(has_dropped, tracer, lost), 30)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        f"the collector at 127.0.0.1:{port} does not take traces; they are dropped"
    ]
    with collecting(port) as (collector, _):
        tracer.observe(request(traceparent=OURS))
        wait_for(lambda: bool(collector.spans), 30)
        tracer.close()
    assert tracer.dropped == 3
    assert caplog.records[-1].getMessage() == f"the collector at 127.0.0.1:{port} takes traces again"


class Blocked:
    """An exporter that hangs until it is shut down."""

    def __init__(self) -> None:
        self.hanging = threading.Event()
        self.released = threading.Event()
        self.batches: list[int] = []

    def export(self, spans: Sequence[Any]) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.batches.append(len(spans))
        self.hanging.set()
        self.released.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.released.set()


def test_a_hanging_collector_costs_neither_requests_nor_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "EVERY_S", 0.01)
    monkeypatch.setattr(tracing, "MOST_WAITING", 50)
    exporter: Any = Blocked()
    tracer = Tracer(exporter, "nowhere")
    tracer.observe(request(traceparent=OURS))
    assert exporter.hanging.wait(PATIENCE_S)
    for _ in range(200):
        tracer.observe(request(traceparent=OURS))
    assert tracer.dropped == 150
    tracer.close(grace_s=0.1)
    wait_for(lambda: tracer.dropped == 201, 30)
    assert max(exporter.batches) <= 3 * tracing.BATCH


def test_a_record_that_makes_no_span_harms_no_later_one(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "EVERY_S", 0.01)
    with collecting() as (collector, endpoint):
        tracer = open_tracer(endpoint)
        assert tracer is not None
        tracer.observe(request(traceparent="not-a-trace-1"))
        wait_for(lambda: tracer.dropped == 1, 30)
        tracer.observe(request(traceparent=OURS))
        tracer.close()
    assert len(collector.named("POST /v1/chat/completions")) == 1
    assert "traces were lost" in caplog.text


def test_without_an_endpoint_or_the_extra_there_is_no_tracer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_tracer(None) is None
    assert open_tracer("") is None
    assert caplog.records == []
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert open_tracer("http://127.0.0.1:4318") is None
    assert "install kodolly[tracing]" in caplog.text
