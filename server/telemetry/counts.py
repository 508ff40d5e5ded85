"""What is counted of requests, by model."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_MODELS = 200
MOST_UPSTREAMS = 500
MOST_CODES = 100
LAG_EVERY_S = 0.25
OTHER = "other"
"""The label of everything beyond a limit."""
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


@dataclass(slots=True)
class Numbers:
    """All that one process counts. The keys of each table are the values of its labels."""

    requests: dict[tuple[str, str, str, int], RequestCounts] = field(default_factory=dict)
    """By model, route, outcome and class of the status."""
    models: dict[str, ModelCounts] = field(default_factory=dict)
    durations: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    """By model and route."""
    upstream_requests: dict[tuple[str, str], int] = field(default_factory=dict)
    """By upstream and outcome."""
    upstream_failures: dict[tuple[str, str], int] = field(default_factory=dict)
    """By upstream and reason."""
    errors: dict[str, int] = field(default_factory=dict)
    """By code."""
    arms: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    """By alias, model, checkpoint and outcome."""
    overhead: Histogram = field(default_factory=lambda: Histogram(OVERHEAD_S))
    lag: Histogram = field(default_factory=lambda: Histogram(LAG_S))
    model_labels: Limited = field(default_factory=lambda: Limited(MOST_MODELS))
    upstream_labels: Limited = field(default_factory=lambda: Limited(MOST_UPSTREAMS))
    code_labels: Limited = field(default_factory=lambda: Limited(MOST_CODES))
    checkpoint_labels: Limited = field(default_factory=lambda: Limited(MOST_MODELS))
