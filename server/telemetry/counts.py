"""What is counted of requests, by model."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

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
