"""OpenTelemetry traces of relayed requests, off unless a collector is set (extra `tracing`).

A request costs a queue entry. A thread makes the spans afterwards, out of the request's record, and sends
them over OTLP/HTTP. No request waits for it; what the collector does not take is dropped and counted.

Trace context: https://www.w3.org/TR/trace-context-2/. Names: OpenTelemetry's conventions for HTTP servers and
for generative AI (https://github.com/open-telemetry/semantic-conventions-genai). No prompts, no answers.
"""

import importlib.metadata
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from server.record import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext, SpanKind, Status

SpanAttributes = dict[str, str | bool | int | float]
logger = logging.getLogger(__name__)

MOST_WAITING = 4096
"""Records that wait for the collector; the oldest go first."""
BATCH = 32
"""Requests per delivery: encoding more at once would hold up the event loop's thread."""
EVERY_S = 1.0
"""How long a record waits for company."""
TIMEOUT_S = 5.0
"""Longest time for one batch, retries included."""

TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v2/embed": "embeddings",
    "/pooling": "embeddings",
}
"""Our route -> `gen_ai.operation.name`; other routes have none of its values."""


def child_traceparent(client_value: str) -> str:
    """The trace context to send on: the client's trace with a new span id, or a new trace if it sent none.

    The new span id is the one that the request's span will have, so that the engine's spans hang below it. If
    the trace is a new one, the client's `tracestate` must not be sent on.
    """
    match = TRACEPARENT.fullmatch(client_value)
    if match is None or (match[1] == "00" and match[5]):
        ids = os.urandom(24).hex()
        return f"00-{ids[:32]}-{ids[32:]}-01"
    # Of the flags only `sampled` and `random trace id` are known to be safe to keep.
    return f"00-{match[2]}-{os.urandom(8).hex()}-{int(match[4], 16) & 3:02x}"


def open_tracer(endpoint: str | None) -> "Tracer | None":
    """The tracer for a collector's base URL, e.g. http://127.0.0.1:4318; None without one.

    Everything else is taken from OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_RESOURCE_ATTRIBUTES ...). Without the extra `tracing` there is a warning and no traces: the variable
    for the endpoint is often set for all services of a cluster at once.
    """
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        logger.warning("no traces are sent: OpenTelemetry is missing; install kodolly[tracing]")
        return None
    # It reports every try of every batch; we say once that the collector is away.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_S)
    return Tracer(exporter, urlsplit(endpoint).netloc.rpartition("@")[2])


class Tracer:
    """Sends the traces of one process. `observe` is a sink of the relay."""

    def __init__(self, exporter: "SpanExporter", collector: str) -> None:
        """`collector` is how log lines call the other end."""
        self.dropped = 0
        """Requests whose trace the collector did not get."""
        self._exporter = exporter
        self._collector = collector
        self._resource = _resource()
        self._waiting: deque[RequestRecord] = deque(maxlen=MOST_WAITING)
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def observe(self, record: RequestRecord) -> None:
        """Queue a finished request, unless its client asked for it not to be traced."""
        if not int(record.traceparent[-1:] or "0", 16) & 1:
            return
        if len(self._waiting) == MOST_WAITING:
            self.dropped += 1
        self._waiting.append(record)

    def close(self, grace_s: float = 2.0) -> None:
        """Send what waits, then stop after about `grace_s` seconds. Blocks: call it in a thread."""
        self._closing.set()
        self._thread.join(grace_s)
        self._exporter.shutdown()  # ends a try that is still going on
        self._thread.join(grace_s)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(EVERY_S)
            while self._waiting:
                self._send([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    def _send(self, records: Sequence[RequestRecord]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            spans: list[ReadableSpan] = []
            for record in records:
                spans += spans_of(record, self._resource)
                time.sleep(0)  # the event loop's thread goes first
            delivered = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            delivered = False
            logger.exception("traces were lost")
        if not delivered:
            self.dropped += len(records)
        if delivered == self._failing:
            self._failing = not delivered
            what = "takes traces again" if delivered else "does not take traces; they are dropped"
            logger.warning("the collector at %s %s", self._collector, what)


def _resource() -> "Resource":
    from opentelemetry.sdk.resources import Resource

    name = os.environ.get("OTEL_SERVICE_NAME", "kodolly-gateway")
    return Resource.create({"service.name": name, "service.version": importlib.metadata.version("kodolly")})


def spans_of(record: RequestRecord, resource: "Resource") -> "list[ReadableSpan]":
    """The request's span, and below it one for the queue and one for every upstream asked."""
    from opentelemetry.trace import SpanKind

    made = _Spans(record, resource)
    end = record.began + record.total_s
    asked = _asked(record)
    begin = record.began + record.queued_s
    spans = [made.of_request(_request_attributes(record) | asked | _answer_attributes(record), end)]
    if record.queued_s:
        spans.append(made.child("queue", SpanKind.INTERNAL, record.began, begin, {}))
    name = " ".join(filter(None, (OPERATIONS.get(record.route, "upstream"), record.model)))
    for number, attempt in enumerate(record.failed_attempts):
        about = asked | {"kodolly.upstream": attempt.upstream, "kodolly.attempt": number + 1}
        begin = attempt.began + attempt.length_s
        spans.append(made.child(name, SpanKind.CLIENT, attempt.began, begin, about, attempt.reason))
    if record.attempts:
        about = asked | {"kodolly.upstream": record.upstream, "kodolly.attempt": record.attempts}
        about |= _answer_attributes(record)
        error = (record.error_code or "failed") if made.failed else None
        spans.append(made.child(name, SpanKind.CLIENT, begin, end, about, error))
    return spans


class _Spans:
    """Makes the spans of one request's trace."""

    def __init__(self, record: RequestRecord, resource: "Resource") -> None:
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._record = record
        self._resource = resource
        self._scope = InstrumentationScope("kodolly.gateway")
        _, self._trace_id, span_id, self._flags = record.traceparent.split("-")
        self._request = self._context(int(span_id, 16))
        self.failed = record.outcome == "failed" or record.status >= 500

    def of_request(self, attributes: SpanAttributes, end: float) -> "ReadableSpan":
        """The request's own, until `end`; below the client's span if that sent one."""
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanKind

        record = self._record
        client = TRACEPARENT.fullmatch(record.client_traceparent)
        below = client is not None and client[2] == self._trace_id
        events = []
        if record.first_event_s is not None:
            events.append(Event("first_event", timestamp=self._at(record.began + record.first_event_s)))
        return ReadableSpan(
            f"{record.method} {record.route}",
            self._request,
            parent=self._context(int(client[3], 16), remote=True) if client and below else None,
            resource=self._resource,
            attributes=attributes,
            events=events,
            kind=SpanKind.SERVER,
            status=self._status(self.failed),
            start_time=record.began_ns,
            end_time=self._at(end),
            instrumentation_scope=self._scope,
        )

    def child(
        self,
        name: str,
        kind: "SpanKind",
        begin: float,
        end: float,
        attributes: SpanAttributes,
        error: str | None = None,
    ) -> "ReadableSpan":
        """One below it. Times are monotonic seconds."""
        from opentelemetry.sdk.trace import ReadableSpan

        return ReadableSpan(
            name,
            self._context(int.from_bytes(os.urandom(8), "big") or 1),
            parent=self._request,
            resource=self._resource,
            attributes=attributes | ({"error.type": error} if error else {}),
            kind=kind,
            status=self._status(error is not None),
            start_time=self._at(begin),
            end_time=self._at(end),
            instrumentation_scope=self._scope,
        )

    def _context(self, span: int, *, remote: bool = False) -> "SpanContext":
        from opentelemetry.trace import SpanContext, TraceFlags

        flags = TraceFlags(int(self._flags, 16))
        return SpanContext(int(self._trace_id, 16), span, is_remote=remote, trace_flags=flags)

    def _status(self, failed: bool) -> "Status":
        from opentelemetry.trace import Status, StatusCode

        return Status(StatusCode.ERROR if failed else StatusCode.UNSET)

    def _at(self, moment: float) -> int:
        """Monotonic seconds as Unix nanoseconds."""
        return self._record.began_ns + int((moment - self._record.began) * 1e9)


def _request_attributes(record: RequestRecord) -> SpanAttributes:
    attributes: SpanAttributes = {
        "http.request.method": record.method,
        "http.route": record.route,
        "kodolly.request_id": record.request_id,
        "kodolly.outcome": record.outcome,
        "kodolly.attempts": record.attempts,
        "kodolly.queue_s": record.queued_s,
    }
    if record.status:
        attributes["http.response.status_code"] = record.status
    if record.error_code:
        attributes["error.type"] = record.error_code
    if record.key_id:
        attributes["kodolly.key_id"] = record.key_id
    if record.resumed:
        attributes["kodolly.resumed"] = record.resumed
    return attributes


def _asked(record: RequestRecord) -> SpanAttributes:
    attributes: SpanAttributes = {}
    if operation := OPERATIONS.get(record.route):
        attributes["gen_ai.operation.name"] = operation
        attributes["gen_ai.provider.name"] = "kodolly"
    if record.model:
        attributes["gen_ai.request.model"] = record.model
    if record.stream:
        attributes["gen_ai.request.stream"] = True
    return attributes


def _answer_attributes(record: RequestRecord) -> SpanAttributes:
    attributes: SpanAttributes = {}
    if record.stream and record.first_event_s is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = record.first_event_s
    if usage := record.usage:
        attributes["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        attributes["gen_ai.usage.output_tokens"] = usage.completion_tokens
        if usage.cached_tokens:
            attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    return attributes
