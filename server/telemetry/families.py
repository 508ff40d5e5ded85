"""Every metric family of one gateway process, made when somebody asks."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.registry import WORKER_STATES
from server.telemetry.counts import LAG_EVERY_S, Numbers
from server.telemetry.exposition import counter, gauge, histogram, single
from server.upstreams.breaker import STATES as BREAKER_STATES
from server.upstreams.breaker import State as BreakerState

if TYPE_CHECKING:
    from prometheus_client import Metric

    from common.database import StoreHealth
    from server.upstreams.directory import Directory
    from server.upstreams.upstream import Upstream

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
    conversations: Callable[[], Mapping[str, int]]
    """What became of conversations that were to be kept; empty where none are."""


def families(numbers: Numbers, live: LiveValues) -> "Iterator[Metric]":
    """All of them; large ones come in pieces."""
    from prometheus_client import ProcessCollector

    yield from _of_requests(numbers)
    yield from _of_models(numbers, live)
    yield from _of_upstreams(numbers, live)
    yield from _of_the_process(numbers, live)
    yield from ProcessCollector(registry=None).collect()


def _of_requests(numbers: Numbers) -> "Iterator[Metric]":
    requests = [
        ((model, route, outcome, f"{status}xx" if status else "none"), counts.requests)
        for (model, route, outcome, status), counts in numbers.requests.items()
    ]
    yield from counter("requests", "Finished requests.", ("model", "route", "outcome", "status"), requests)
    yield from histogram(
        "request_duration_seconds",
        "From the request's last byte in to the answer's last byte out.",
        ("model", "route"),
        numbers.durations.items(),
    )
    yield from counter(
        "arm_requests",
        "Finished requests for an alias, by the model and checkpoint that answered.",
        ("model", "arm", "checkpoint", "outcome"),
        numbers.arms.items(),
    )
    yield from counter(
        "errors", "Requests that ended in an error, by its code.", ("code",), single(numbers.errors)
    )
    yield from histogram(
        "overhead_seconds",
        "What the gateway itself took before the answer's first byte: no queue, no upstream.",
        (),
        [((), numbers.overhead)],
    )


def _of_models(numbers: Numbers, live: LiveValues) -> "Iterator[Metric]":
    models = {name: counts for name, counts in numbers.models.items() if name}
    for name, meaning in MODEL_COUNTERS.items():
        values = [((model,), getattr(counts, name)) for model, counts in models.items()]
        yield from counter(name, meaning, ("model",), values)
    for name, (attribute, meaning) in MODEL_HISTOGRAMS.items():
        histograms = [((model,), getattr(counts, attribute)) for model, counts in models.items()]
        yield from histogram(name, meaning, ("model",), histograms)
    depths: dict[str, int] = {}
    for model, depth in live.queue_depths().items():
        label = numbers.model_labels.label(model)
        depths[label] = depths.get(label, 0) + depth
    yield from gauge("queue_depth", "Requests that wait for a free place.", ("model",), single(depths))


def _of_upstreams(numbers: Numbers, live: LiveValues) -> "Iterator[Metric]":
    directory = live.directory
    upstreams = list(directory.upstreams())
    yield from counter(
        "upstream_requests",
        "Finished requests by the last upstream asked.",
        ("upstream", "outcome"),
        numbers.upstream_requests.items(),
    )
    yield from counter(
        "upstream_failures",
        "Attempts that failed before the answer began, so that another upstream was asked.",
        ("upstream", "reason"),
        numbers.upstream_failures.items(),
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
    yield from _of_states(numbers, live, upstreams)
    yield from gauge(
        "controller_connected",
        "1 while a controller is followed; workers that are known stay in use without.",
        (),
        [((), int(directory.controller_connected))],
    )


def _of_states(numbers: Numbers, live: LiveValues, upstreams: "list[Upstream]") -> "Iterator[Metric]":
    yield from gauge(
        "upstream_state",
        "1 for the state that an upstream is in.",
        ("upstream", "kind", "state"),
        [((up.id, up.kind, state), int(up.state == state)) for up in upstreams for state in WORKER_STATES],
    )
    yield from gauge(
        "upstream_silence_seconds",
        "Time since a worker's last sign of life; +Inf for one that this process has never heard of.",
        ("upstream",),
        [((up.id,), live.directory.silence_s(up)) for up in upstreams if up.kind == "worker"],
    )
    workers: dict[tuple[str, str], int] = {}
    for up in upstreams:
        for name in up.models if up.kind == "worker" else ():
            model = numbers.model_labels.label(name)
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
            for name, now in live.breaker_states().items()
            for state in BREAKER_STATES
        ],
    )


def _of_the_process(numbers: Numbers, live: LiveValues) -> "Iterator[Metric]":
    yield from gauge(
        "client_connections",
        "Open connections of clients.",
        (),
        [((), live.client_connections())],
    )
    yield from counter(
        "traces_dropped",
        "Requests whose trace the collector did not get.",
        (),
        [((), live.traces_dropped())],
    )
    yield from counter(
        "store_failures",
        "Transactions that the store (keys, limits, ledger) failed.",
        (),
        [((), live.store.failures)],
    )
    yield from gauge(
        "store_silence_seconds",
        "Time since the store last took a transaction; it is asked every second.",
        (),
        [((), live.store.silence_s())],
    )
    yield from counter(
        "conversations",
        "Conversations that were to be kept (feedback_store: all), by what became of them.",
        ("result",),
        single(live.conversations()),
    )
    yield from histogram(
        "event_loop_lag_seconds",
        f"How late the event loop was, looked at every {LAG_EVERY_S} s.",
        (),
        [((), numbers.lag)],
    )
    labels = (importlib.metadata.version("kodolly"), platform.python_version())
    yield from gauge("build_info", "What runs; the value is always 1.", ("version", "python"), [(labels, 1)])
