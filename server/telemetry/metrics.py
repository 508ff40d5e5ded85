"""Prometheus metrics of one gateway process.

Counting a request is a handful of additions to plain objects; prometheus_client turns them into text when
somebody asks. Labels are bounded: models and upstreams that exist (a limited number, then `other`), routes of
our table, error codes of a plain shape; keys are no labels. Each sample says which process it is of.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from server.record import RequestRecord
from server.telemetry.counts import (
    DURATION_S,
    LAG_EVERY_S,
    OTHER,
    Histogram,
    ModelCounts,
    Numbers,
    RequestCounts,
)
from server.telemetry.exposition import END, One
from server.telemetry.families import LiveValues, families

if TYPE_CHECKING:
    from prometheus_client import Metric

CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""An error code that may become a label; an upstream could send anything."""


class GatewayMetrics:
    """One process's numbers. `observe` is a sink of the relay; `render` answers a scrape."""

    def __init__(self, live: LiveValues, process: int = 0) -> None:
        """`process` is this process's place among those of the gateway, from 0."""
        self.process = process
        self._live = live
        self.numbers = Numbers()

    # -- counting -------------------------------------------------------------------------------------

    def observe(self, record: RequestRecord) -> None:
        """Count a finished request."""
        counts = self.numbers.requests.get((record.model, record.route, record.outcome, record.status // 100))
        if counts is None:
            counts = self._counts_for(record)
        counts.requests += 1
        counts.duration.add(record.total_s)
        if record.error_code:
            self._count_error(record.error_code)
        if not record.model:
            return
        if record.arm:
            self._count_arm(record)
        model = counts.model
        model.queue.add(record.queued_s)
        if not record.attempts:
            return
        model.attempts += record.attempts
        key = (record.upstream, record.outcome)
        if key in self.numbers.upstream_requests:
            self.numbers.upstream_requests[key] += 1
        else:
            self._count_upstream(record)
        if record.attempts > 1:
            self._count_retries(model, record)
        usage, first = record.usage, record.first_event_s
        if usage is not None:
            model.prompt_tokens += usage.prompt_tokens
            model.completion_tokens += usage.completion_tokens
            model.cached_tokens += usage.cached_tokens
        if first is None:
            return
        self.numbers.overhead.add(max(0.0, first - record.queued_s - record.upstream_s))
        if record.stream:
            model.first_event.add(first)
            if usage is not None and usage.completion_tokens > 1:
                model.per_token.add((record.total_s - first) / (usage.completion_tokens - 1))
            model.resumes += record.resumed

    def _counts_for(self, record: RequestRecord) -> RequestCounts:
        label = self.numbers.model_labels.label(record.model) if record.model else ""
        key = (label, record.route, record.outcome, record.status // 100)
        counts = self.numbers.requests.get(key)
        if counts is None:
            model = self.numbers.models.setdefault(label, ModelCounts())
            duration = self.numbers.durations.setdefault((label, record.route), Histogram(DURATION_S))
            counts = self.numbers.requests[key] = RequestCounts(model, duration)
        return counts

    def _count_error(self, code: str) -> None:
        label = self.numbers.code_labels.label(code) if CODE.fullmatch(code) else OTHER
        self.numbers.errors[label] = self.numbers.errors.get(label, 0) + 1

    def _count_arm(self, record: RequestRecord) -> None:
        names = (self.numbers.model_labels.label(record.model), self.numbers.model_labels.label(record.arm))
        key = (*names, self.numbers.checkpoint_labels.label(record.checkpoint), record.outcome)
        self.numbers.arms[key] = self.numbers.arms.get(key, 0) + 1

    def _count_upstream(self, record: RequestRecord) -> None:
        key = (self.numbers.upstream_labels.label(record.upstream), record.outcome)
        self.numbers.upstream_requests[key] = self.numbers.upstream_requests.get(key, 0) + 1

    def _count_retries(self, model: ModelCounts, record: RequestRecord) -> None:
        model.retries += record.attempts - 1
        model.failovers += record.outcome == "ok"
        for failed in record.failed_attempts:
            reason = self.numbers.code_labels.label(failed.reason) if CODE.fullmatch(failed.reason) else OTHER
            key = (self.numbers.upstream_labels.label(failed.upstream), reason)
            self.numbers.upstream_failures[key] = self.numbers.upstream_failures.get(key, 0) + 1

    async def measure_loop_lag(self) -> None:
        """Run until cancelled: see how much later than asked for the event loop gets round to things."""
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(LAG_EVERY_S)
            self.numbers.lag.add(max(0.0, time.perf_counter() - asked - LAG_EVERY_S))

    # -- showing --------------------------------------------------------------------------------------

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """This process's numbers and their content type: plain text, or OpenMetrics if `accept` asks for it.

        Waits for nothing; it only lets the event loop look at other work in between.
        """
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        parts = []
        previous = ""
        for family in self.collect():
            text = encode(One(family)).removesuffix(END)
            if family.name == previous:  # a further piece: without the lines of HELP and TYPE
                text = text.split(b"\n", 2)[2]
            parts.append(text)
            previous = family.name
            await asyncio.sleep(0)
        if content_type.startswith("application/openmetrics-text"):
            parts.append(END)
        return b"".join(parts), content_type

    def collect(self) -> "Iterator[Metric]":
        """Every family, large ones in pieces, with the process as a label."""
        for family in families(self.numbers, self._live):
            for sample in family.samples:
                sample.labels["process"] = str(self.process)
            yield family
