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
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, TypeVar

from server.record import RequestRecord

if TYPE_CHECKING:
    from prometheus_client import Metric

    from server.database import StoreHealth
    from server.directory import Directory

PREFIX = "kodolly_gateway_"
OTHER = "other"
"""The label of everything beyond a limit."""
MOST_MODELS = 200
MOST_UPSTREAMS = 500
MOST_CODES = 100
CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""An error code that may become a label; an upstream could send anything."""
END = b"# EOF\n"
"""The last line of OpenMetrics; plain text has none."""
LAG_EVERY_S = 0.25
CHUNK = 200
"""Samples rendered between two looks of the event loop at its other work: about 1 ms."""

BreakerState = Literal["closed", "open", "half_open"]
BREAKER_STATES: tuple[BreakerState, ...] = ("closed", "open", "half_open")
UPSTREAM_STATES = ("loading", "ready", "draining", "down")

DURATION_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
FIRST_EVENT_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60)
PER_TOKEN_S = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1)
QUEUE_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
LAG_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Histogram:
    """How many values fell between two bounds, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class ModelCounts:
    """What is counted for one model."""

    attempts: int = 0
    retries: int = 0
    failovers: int = 0
    resumes: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    first_event: Histogram = field(default_factory=lambda: Histogram(FIRST_EVENT_S))
    per_token: Histogram = field(default_factory=lambda: Histogram(PER_TOKEN_S))
    queue: Histogram = field(default_factory=lambda: Histogram(QUEUE_S))


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


@dataclass(slots=True)
class RequestCounts:
    """What is counted for one combination of model, route, outcome and status class."""

    model: ModelCounts
    duration: Histogram
    """Shared by all outcomes of one model and route."""
    requests: int = 0


@dataclass(slots=True)
class Limited:
    """The values of a label that are let in; `other` stands for the rest."""

    most: int
    known: set[str] = field(default_factory=set)

    def label(self, value: str) -> str:
        """`value`, or `other` when too many are known already."""
        if value not in self.known:
            if len(self.known) >= self.most:
                return OTHER
            self.known.add(value)
        return value


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
        self._overhead = Histogram(OVERHEAD_S)
        self._lag = Histogram(LAG_S)
        self._model_labels = Limited(MOST_MODELS)
        self._upstream_labels = Limited(MOST_UPSTREAMS)
        self._code_labels = Limited(MOST_CODES)

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
            text = encode(_One(family)).removesuffix(END)
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
        yield from _counter(
            "requests", "Finished requests.", ("model", "route", "outcome", "status"), requests
        )
        yield from _histogram(
            "request_duration_seconds",
            "From the request's last byte in to the answer's last byte out.",
            ("model", "route"),
            self._durations.items(),
        )
        yield from _counter(
            "errors", "Requests that ended in an error, by its code.", ("code",), _single(self._errors)
        )
        yield from _histogram(
            "overhead_seconds",
            "What the gateway itself took before the answer's first byte: no queue, no upstream.",
            (),
            [((), self._overhead)],
        )

    def _of_models(self) -> "Iterator[Metric]":
        models = {name: counts for name, counts in self._models.items() if name}
        for name, meaning in MODEL_COUNTERS.items():
            values = [((model,), getattr(counts, name)) for model, counts in models.items()]
            yield from _counter(name, meaning, ("model",), values)
        for name, (attribute, meaning) in MODEL_HISTOGRAMS.items():
            histograms = [((model,), getattr(counts, attribute)) for model, counts in models.items()]
            yield from _histogram(name, meaning, ("model",), histograms)
        depths: dict[str, int] = {}
        for model, depth in self._live.queue_depths().items():
            label = self._model_labels.label(model)
            depths[label] = depths.get(label, 0) + depth
        yield from _gauge("queue_depth", "Requests that wait for a free place.", ("model",), _single(depths))

    def _of_upstreams(self) -> "Iterator[Metric]":
        directory = self._live.directory
        upstreams = list(directory.upstreams())
        yield from _counter(
            "upstream_requests",
            "Finished requests by the last upstream asked.",
            ("upstream", "outcome"),
            self._upstream_requests.items(),
        )
        yield from _counter(
            "upstream_failures",
            "Attempts that failed before the answer began, so that another upstream was asked.",
            ("upstream", "reason"),
            self._upstream_failures.items(),
        )
        yield from _gauge(
            "upstream_in_flight",
            "Requests that this process has at an upstream.",
            ("upstream", "kind"),
            [((up.id, up.kind), up.in_flight) for up in upstreams],
        )
        yield from _gauge(
            "upstream_waiting",
            "Requests that wait inside the engine, as its worker last said.",
            ("upstream",),
            [((up.id,), up.waiting) for up in upstreams],
        )
        yield from _gauge(
            "upstream_state",
            "1 for the state that an upstream is in.",
            ("upstream", "kind", "state"),
            [
                ((up.id, up.kind, state), int(up.state == state))
                for up in upstreams
                for state in UPSTREAM_STATES
            ],
        )
        yield from _gauge(
            "upstream_silence_seconds",
            "Time since a worker's last sign of life; +Inf for one that this process has never heard of.",
            ("upstream",),
            [((up.id,), directory.silence_s(up)) for up in upstreams if up.kind == "worker"],
        )
        workers: dict[tuple[str, str], int] = {}
        for up in upstreams:
            for name in up.models if up.kind == "worker" else ():
                model = self._model_labels.label(name)
                for state in UPSTREAM_STATES:
                    workers[model, state] = workers.get((model, state), 0) + (up.state == state)
        yield from _gauge(
            "model_workers", "Workers of a model, by their state.", ("model", "state"), workers.items()
        )
        yield from _gauge(
            "breaker_state",
            "1 for the state that an upstream's circuit breaker is in.",
            ("upstream", "state"),
            [
                ((name, state), int(now == state))
                for name, now in self._live.breaker_states().items()
                for state in BREAKER_STATES
            ],
        )
        yield from _gauge(
            "controller_connected",
            "1 while a controller is followed; workers that are known stay in use without.",
            (),
            [((), int(directory.controller_connected))],
        )

    def _of_the_process(self) -> "Iterator[Metric]":
        yield from _gauge(
            "client_connections",
            "Open connections of clients.",
            (),
            [((), self._live.client_connections())],
        )
        yield from _counter(
            "traces_dropped",
            "Requests whose trace the collector did not get.",
            (),
            [((), self._live.traces_dropped())],
        )
        yield from _counter(
            "store_failures",
            "Transactions that the store (keys, limits, ledger) failed.",
            (),
            [((), self._live.store.failures)],
        )
        yield from _gauge(
            "store_silence_seconds",
            "Time since the store last took a transaction; it is asked every second.",
            (),
            [((), self._live.store.silence_s())],
        )
        yield from _histogram(
            "event_loop_lag_seconds",
            f"How late the event loop was, looked at every {LAG_EVERY_S} s.",
            (),
            [((), self._lag)],
        )
        labels = (importlib.metadata.version("kodolly"), platform.python_version())
        yield from _gauge(
            "build_info", "What runs; the value is always 1.", ("version", "python"), [(labels, 1)]
        )


def encode_process_up(up: Mapping[int, bool], accept: str) -> bytes:
    """Which processes of the gateway have answered, in the format that `accept` asks for."""
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.exposition import choose_encoder

    meaning = "1 for every process of this gateway whose numbers are here."
    family = GaugeMetricFamily(PREFIX + "process_up", meaning, labels=("process",))
    for process, answered in sorted(up.items()):
        family.add_metric((str(process),), int(answered))
    return choose_encoder(accept)[0](_One(family))


def merge(expositions: Iterable[bytes]) -> bytes:
    """One exposition out of several of the same format: each family's samples together, under one header.

    Samples are not added up; they differ in their `process` label. A sum over processes would fall whenever
    one of them restarts or does not answer, and Prometheus would take what is left for new requests.
    """
    families: dict[bytes, tuple[dict[bytes, bytes], list[bytes]]] = {}
    end = b""
    for exposition in expositions:
        samples: list[bytes] = []
        for line in exposition.split(b"\n"):
            if line == END.rstrip():
                end = END
            elif line.startswith(b"# "):
                _, kind, name, *_ = line.split(b" ", 3)
                headers, samples = families.setdefault(name, ({}, []))
                headers.setdefault(kind, line)
            elif line:
                samples.append(line)
    lines = [line for headers, samples in families.values() for line in (*headers.values(), *samples)]
    return b"".join([line + b"\n" for line in lines]) + end


@dataclass(frozen=True, slots=True)
class _One:
    """A collector of one family, which is what prometheus_client's encoders take."""

    family: "Metric"

    def collect(self) -> "Iterable[Metric]":
        return [self.family]


T = TypeVar("T")
Labels = tuple[str, ...]
Labelled = Iterable[tuple[Labels, float]]


def _single(values: Mapping[str, int]) -> Labelled:
    return [((label,), value) for label, value in values.items()]


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """At least one batch, so that a family without samples is shown too."""
    whole = list(values)
    for begin in range(0, len(whole) or 1, size):
        yield whole[begin : begin + size]


def _counter(name: str, meaning: str, labels: Labels, values: Labelled) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily

    for batch in _batches(values, CHUNK):
        family = CounterMetricFamily(PREFIX + name, meaning, labels=labels)
        for of, value in batch:
            family.add_metric(of, value)
        yield family


def _gauge(name: str, meaning: str, labels: Labels, values: Labelled) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    for batch in _batches(values, CHUNK):
        family = GaugeMetricFamily(PREFIX + name, meaning, labels=labels)
        for of, value in batch:
            family.add_metric(of, value)
        yield family


def _histogram(
    name: str, meaning: str, labels: Labels, values: Iterable[tuple[Labels, Histogram]]
) -> "Iterator[Metric]":
    from prometheus_client.core import HistogramMetricFamily
    from prometheus_client.utils import floatToGoString

    for batch in _batches(values, CHUNK // 16):
        family = HistogramMetricFamily(PREFIX + name, meaning, labels=labels)
        for of, histogram in batch:
            bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            family.add_metric(of, buckets, histogram.total)
        yield family
