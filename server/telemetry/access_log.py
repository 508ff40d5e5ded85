"""One log line per finished request: what it was, where it went, how it ended, how long it took.

Never the prompt, the answer or a key. Failed requests are warnings.
"""

import asyncio
import logging
import time

from common.logs import handle_together
from server.record import RequestRecord

logger = logging.getLogger("server.access")

WRITE_EVERY_S = 0.1
"""Longest time that a line waits for others to be written with it."""
MOST_LINES = 200
"""So many do not wait any longer: formatting them takes about 3 ms."""


class AccessLog:
    """Lines of answered requests, written several at once: a write for each would cost a tenth of the
    gateway's time. Failed requests are logged at once. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[RequestRecord, float]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, record: RequestRecord) -> None:
        """One finished request."""
        if _has_failed(record):
            self.write()
            log_request(record)
            return
        if not logger.isEnabledFor(logging.INFO):
            return
        self._waiting.append((record, time.time()))
        if len(self._waiting) >= MOST_LINES:
            self.write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_EVERY_S, self.write)

    def write(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if waiting and logger.isEnabledFor(logging.INFO):
            lines = [_log_record(logging.INFO, finished, record) for record, finished in waiting]
            handle_together(logger, lines)


def log_request(record: RequestRecord, finished: float | None = None) -> None:
    """Log a request that finished at this Unix time, or now; only a look-up when its level is off."""
    level = logging.WARNING if _has_failed(record) else logging.INFO
    if logger.isEnabledFor(level):
        logger.handle(_log_record(level, time.time() if finished is None else finished, record))


_PLAIN = {
    level: logging.LogRecord(logger.name, level, __file__, 0, "request", (), None).__dict__
    for level in (logging.INFO, logging.WARNING)
}


def _log_record(level: int, finished: float, record: RequestRecord) -> logging.LogRecord:
    """What `logger.info` would make of it, less the caller's line, thread and process: finding them out costs
    as much as the rest of the line."""
    line = logging.LogRecord.__new__(logging.LogRecord)
    told = {"created": finished, "msecs": finished % 1 * 1000, "fields": request_fields(record)}
    line.__dict__ = _PLAIN[level] | told
    return line


def log_failed_request(record: RequestRecord) -> None:
    """The same for failed requests alone: for `access_log: false`."""
    if _has_failed(record):
        log_request(record)


def _has_failed(record: RequestRecord) -> bool:
    return record.outcome == "failed" or record.status >= 500


def request_fields(record: RequestRecord) -> dict[str, object]:
    """What is worth saying, the most telling first. Times in ms; what is empty or naturally 0 is left out."""
    fields: dict[str, object] = {
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "outcome": record.outcome,
        "total_ms": _ms(record.total_s),
    }
    if record.model:
        fields["model"] = record.model
    if record.arm:
        fields["arm"] = record.arm
    if record.checkpoint:
        fields["checkpoint"] = record.checkpoint
    if record.first_event_s is not None:
        fields["first_event_ms"] = _ms(record.first_event_s)
    if record.queued_s:
        fields["queue_ms"] = _ms(record.queued_s)
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


def _ms(seconds: float) -> float:
    """Milliseconds to a tenth. `round` is exact about halves, and takes ten times as long."""
    return int(seconds * 1e4 + 0.5) / 10
