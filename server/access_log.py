"""One log line per finished request: what it was, where it went, how it ended, how long it took.

Never the prompt, the answer, a key or a worker's address. Failed requests are warnings.
"""

import logging

from server.record import RequestRecord

logger = logging.getLogger("server.access")


def log_request(record: RequestRecord) -> None:
    """Log a finished request; costs nothing but a look-up when its level is off."""
    level = logging.WARNING if record.outcome == "failed" or record.status >= 500 else logging.INFO
    if logger.isEnabledFor(level):
        extra = {"fields": request_fields(record)}
        # makeRecord: what `logger.info` does, less the search for the caller's line.
        logger.handle(logger.makeRecord(logger.name, level, __file__, 0, "request", (), None, extra=extra))


def log_failed_request(record: RequestRecord) -> None:
    """The same for failed requests alone: for `access_log: false`."""
    if record.outcome == "failed" or record.status >= 500:
        log_request(record)


def request_fields(record: RequestRecord) -> dict[str, object]:
    """What is worth saying, the most telling first. Times in ms; what is empty or naturally 0 is left out."""
    fields: dict[str, object] = {
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "outcome": record.outcome,
        "total_ms": round(record.total_s * 1e3, 1),
    }
    if record.model:
        fields["model"] = record.model
    if record.first_event_s is not None:
        fields["first_event_ms"] = round(record.first_event_s * 1e3, 1)
    if record.queued_s:
        fields["queue_ms"] = round(record.queued_s * 1e3, 1)
    if record.error_code:
        fields["error"] = record.error_code
    if usage := record.usage:
        fields["prompt_tokens"] = usage.prompt_tokens
        fields["completion_tokens"] = usage.completion_tokens
        if usage.cached_tokens:
            fields["cached_tokens"] = usage.cached_tokens
        if usage.estimated:
            fields["estimated"] = True
    if record.upstream:
        fields["upstream"] = record.upstream
        fields["attempts"] = record.attempts
    if record.resumed:
        fields["resumed"] = record.resumed
    if record.key_id:
        fields["key"] = record.key_id
    fields["request_id"] = record.request_id
    if record.traceparent:
        fields["trace_id"] = record.traceparent[3:35]
    return fields
