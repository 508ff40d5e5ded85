"""Prometheus metrics of one gateway process.

Counting a request is a handful of additions to plain objects; prometheus_client turns them into text when
somebody asks. Labels are bounded: models and upstreams that exist (a limited number, then `other`), routes of
our table, error codes of a plain shape; keys are no labels. Each sample says which process it is of.
"""

import asyncio
import importlib.metadata
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.registry import WORKER_STATES
from server.record import RequestRecord
from server.telemetry.counts import (
    DURATION_S,
    LAG_S,
    OTHER,
    OVERHEAD_S,
    Histogram,
    Limited,
    ModelCounts,
    RequestCounts,
)
from server.telemetry.exposition import END, One, counter, gauge, histogram, single
from server.upstreams.breaker import STATES as BREAKER_STATES
from server.upstreams.breaker import State as BreakerState

if TYPE_CHECKING:
    from prometheus_client import Metric

    from server.store.database import StoreHealth
    from server.upstreams.directory import Directory

MOST_MODELS = 200
MOST_UPSTREAMS = 500
MOST_CODES = 100
CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""An error code that may become a label; an upstream could send anything."""
LAG_EVERY_S = 0.25


MODEL_COUNTERS = {
    "attempts": "Times an upstream was asked.",
    "retries": "Times another upstream was asked because one had failed.",
    "failovers": "Requests answered after at least one upstream had failed.",
    "resumes": "Times a broken stream went on at another worker.",
    "prompt_tokens": "Tokens of prompts.",
    "completion_tokens": "Tokens of answers.",
    "cached_tokens": "Tokens of prompts that came out of a prefix cache.",
}
"""Fields of ModelCounts and what they mean."""
MODEL_HISTOGRAMS = {
    "time_to_first_event_seconds": (
        "first_event",
        "From the request's last byte in to a stream's first event.",
    ),
    "time_per_output_token_seconds": ("per_token", "Mean time between the tokens of a stream."),
    "queue_duration_seconds": ("queue", "Wait for a free place."),
}
"""Metric -> field of ModelCounts, and what it means."""


@dataclass(frozen=True, slots=True)
class LiveValues:
    """What is asked for at each scrape; all of it answers from memory.

    Nothing has a default: a forgotten wire would show as a figure that is always 0.
    """

    directory: "Directory"
    queue_depths: Callable[[], Mapping[str, int]]
    """Model -> requests that wait for a free place."""
    breaker_states: Callable[[], Mapping[str, BreakerState]]
    """Upstream id -> state of its circuit breaker."""
    client_connections: Callable[[], int]
    """Open connections of clients."""
    traces_dropped: Callable[[], int]
    """Requests whose trace was not delivered, since the start."""
    store: "StoreHealth"


class Metrics:
    """One process's numbers. `observe` is a sink of the relay; `render` answers a scrape."""

    def __init__(self, live: LiveValues, process: int = 0) -> None:
        """`process` is this process's place among those of the gateway, from 0."""
        self.process = process
        self._live = live
        self._requests: dict[tuple[str, str, str, int], RequestCounts] = {}
        self._models: dict[str, ModelCounts] = {}
        self._durations: dict[tuple[str, str], Histogram] = {}
        self._upstream_requests: dict[tuple[str, str], int] = {}
        self._upstream_failures: dict[tuple[str, str], int] = {}
        self._errors: dict[str, int] = {}
        self._arms: dict[tuple[str, str, str, str], int] = {}
        self._overhead = Histogram(OVERHEAD_S)
        self._lag = Histogram(LAG_S)
        self._model_labels = Limited(MOST_MODELS)
        self._upstream_labels = Limited(MOST_UPSTREAMS)
        self._code_labels = Limited(MOST_CODES)
        self._checkpoint_labels = Limited(MOST_MODELS)

    # -- counting -------------------------------------------------------------------------------------

    def observe(self, record: RequestRecord) -> None:
        """Count a finished request."""
        counts = self._requests.get((record.model, record.route, record.outcome, record.status // 100))
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
        if key in self._upstream_requests:
            self._upstream_requests[key] += 1
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
        self._overhead.add(max(0.0, first - record.queued_s - record.upstream_s))
        if record.stream:
            model.first_event.add(first)
            if usage is not None and usage.completion_tokens > 1:
                model.per_token.add((record.total_s - first) / (usage.completion_tokens - 1))
            model.resumes += record.resumed

    def _counts_for(self, record: RequestRecord) -> RequestCounts:
        label = self._model_labels.label(record.model) if record.model else ""
        key = (label, record.route, record.outcome, record.status // 100)
        counts = self._requests.get(key)
        if counts is None:
            model = self._models.setdefault(label, ModelCounts())
            duration = self._durations.setdefault((label, record.route), Histogram(DURATION_S))
            counts = self._requests[key] = RequestCounts(model, duration)
        return counts

    def _count_error(self, code: str) -> None:
        label = self._code_labels.label(code) if CODE.fullmatch(code) else OTHER
        self._errors[label] = self._errors.get(label, 0) + 1

    def _count_arm(self, record: RequestRecord) -> None:
        names = (self._model_labels.label(record.model), self._model_labels.label(record.arm))
        key = (*names, self._checkpoint_labels.label(record.checkpoint), record.outcome)
        self._arms[key] = self._arms.get(key, 0) + 1

    def _count_upstream(self, record: RequestRecord) -> None:
        key = (self._upstream_labels.label(record.upstream), record.outcome)
        self._upstream_requests[key] = self._upstream_requests.get(key, 0) + 1

    def _count_retries(self, model: ModelCounts, record: RequestRecord) -> None:
        model.retries += record.attempts - 1
        model.failovers += record.outcome == "ok"
        for failed in record.failed_attempts:
            reason = self._code_labels.label(failed.reason) if CODE.fullmatch(failed.reason) else OTHER
            key = (self._upstream_labels.label(failed.upstream), reason)
            self._upstream_failures[key] = self._upstream_failures.get(key, 0) + 1

    async def measure_loop_lag(self) -> None:
        """Run until cancelled: see how much later than asked for the event loop gets round to things."""
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(LAG_EVERY_S)
            self._lag.add(max(0.0, time.perf_counter() - asked - LAG_EVERY_S))

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
        for family in self._families():
            for sample in family.samples:
                sample.labels["process"] = str(self.process)
            yield family

    def _families(self) -> "Iterator[Metric]":
        from prometheus_client import ProcessCollector

        yield from self._of_requests()
        yield from self._of_models()
        yield from self._of_upstreams()
        yield from self._of_the_process()
        yield from ProcessCollector(registry=None).collect()

    def _of_requests(self) -> "Iterator[Metric]":
        requests = [
            ((model, route, outcome, f"{status}xx" if status else "none"), counts.requests)
            for (model, route, outcome, status), counts in self._requests.items()
        ]
        yield from counter(
            "requests", "Finished requests.", ("model", "route", "outcome", "status"), requests
        )
        yield from histogram(
            "request_duration_seconds",
            "From the request's last byte in to the answer's last byte out.",
            ("model", "route"),
            self._durations.items(),
        )
        yield from counter(
            "arm_requests",
            "Finished requests for an alias, by the model and checkpoint that answered.",
            ("model", "arm", "checkpoint", "outcome"),
            self._arms.items(),
        )
        yield from counter(
            "errors", "Requests that ended in an error, by its code.", ("code",), single(self._errors)
        )
        yield from histogram(
            "overhead_seconds",
            "What the gateway itself took before the answer's first byte: no queue, no upstream.",
            (),
            [((), self._overhead)],
        )

    def _of_models(self) -> "Iterator[Metric]":
        models = {name: counts for name, counts in self._models.items() if name}
        for name, meaning in MODEL_COUNTERS.items():
            values = [((model,), getattr(counts, name)) for model, counts in models.items()]
            yield from counter(name, meaning, ("model",), values)
        for name, (attribute, meaning) in MODEL_HISTOGRAMS.items():
            histograms = [((model,), getattr(counts, attribute)) for model, counts in models.items()]
            yield from histogram(name, meaning, ("model",), histograms)
        depths: dict[str, int] = {}
        for model, depth in self._live.queue_depths().items():
            label = self._model_labels.label(model)
            depths[label] = depths.get(label, 0) + depth
        yield from gauge("queue_depth", "Requests that wait for a free place.", ("model",), single(depths))

    def _of_upstreams(self) -> "Iterator[Metric]":
        directory = self._live.directory
        upstreams = list(directory.upstreams())
        yield from counter(
            "upstream_requests",
            "Finished requests by the last upstream asked.",
            ("upstream", "outcome"),
            self._upstream_requests.items(),
        )
        yield from counter(
            "upstream_failures",
            "Attempts that failed before the answer began, so that another upstream was asked.",
            ("upstream", "reason"),
            self._upstream_failures.items(),
        )
        yield from gauge(
            "upstream_in_flight",
            "Requests that this process has at an upstream.",
            ("upstream", "kind"),
            [((up.id, up.kind), up.standing.in_flight) for up in upstreams],
        )
        yield from gauge(
            "upstream_waiting",
            "Requests that wait inside the engine, as its worker last said.",
            ("upstream",),
            [((up.id,), up.reported.waiting) for up in upstreams],
        )
        yield from gauge(
            "upstream_state",
            "1 for the state that an upstream is in.",
            ("upstream", "kind", "state"),
            [
                ((up.id, up.kind, state), int(up.state == state))
                for up in upstreams
                for state in WORKER_STATES
            ],
        )
        yield from gauge(
            "upstream_silence_seconds",
            "Time since a worker's last sign of life; +Inf for one that this process has never heard of.",
            ("upstream",),
            [((up.id,), directory.silence_s(up)) for up in upstreams if up.kind == "worker"],
        )
        workers: dict[tuple[str, str], int] = {}
        for up in upstreams:
            for name in up.models if up.kind == "worker" else ():
                model = self._model_labels.label(name)
                for state in WORKER_STATES:
                    workers[model, state] = workers.get((model, state), 0) + (up.state == state)
        yield from gauge(
            "model_workers", "Workers of a model, by their state.", ("model", "state"), workers.items()
        )
        yield from gauge(
            "breaker_state",
            "1 for the state that an upstream's circuit breaker is in.",
            ("upstream", "state"),
            [
                ((name, state), int(now == state))
                for name, now in self._live.breaker_states().items()
                for state in BREAKER_STATES
            ],
        )
        yield from gauge(
            "controller_connected",
            "1 while a controller is followed; workers that are known stay in use without.",
            (),
            [((), int(directory.controller_connected))],
        )

    def _of_the_process(self) -> "Iterator[Metric]":
        yield from gauge(
            "client_connections",
            "Open connections of clients.",
            (),
            [((), self._live.client_connections())],
        )
        yield from counter(
            "traces_dropped",
            "Requests whose trace the collector did not get.",
            (),
            [((), self._live.traces_dropped())],
        )
        yield from counter(
            "store_failures",
            "Transactions that the store (keys, limits, ledger) failed.",
            (),
            [((), self._live.store.failures)],
        )
        yield from gauge(
            "store_silence_seconds",
            "Time since the store last took a transaction; it is asked every second.",
            (),
            [((), self._live.store.silence_s())],
        )
        yield from histogram(
            "event_loop_lag_seconds",
            f"How late the event loop was, looked at every {LAG_EVERY_S} s.",
            (),
            [((), self._lag)],
        )
        labels = (importlib.metadata.version("kodolly"), platform.python_version())
        yield from gauge(
            "build_info", "What runs; the value is always 1.", ("version", "python"), [(labels, 1)]
        )
