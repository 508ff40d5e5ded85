"""Figures as OpenMetrics text, and the texts of several processes as one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from server.telemetry.counts import Histogram

if TYPE_CHECKING:
    from prometheus_client import Metric


PREFIX = "kodolly_gateway_"
END = b"# EOF\n"
"""The last line of OpenMetrics; plain text has none."""
CHUNK = 200
"""Samples rendered between two looks of the event loop at its other work: about 1 ms."""


def encode_process_up(up: Mapping[int, bool], accept: str) -> bytes:
    """Which processes of the gateway have answered, in the format that `accept` asks for."""
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.exposition import choose_encoder

    meaning = "1 for every process of this gateway whose numbers are here."
    family = GaugeMetricFamily(PREFIX + "process_up", meaning, labels=("process",))
    for process, answered in sorted(up.items()):
        family.add_metric((str(process),), int(answered))
    return choose_encoder(accept)[0](One(family))


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
class One:
    """A collector of one family, which is what prometheus_client's encoders take."""

    family: "Metric"

    def collect(self) -> "Iterable[Metric]":
        return [self.family]


T = TypeVar("T")
Labels = tuple[str, ...]
LabelledValues = Iterable[tuple[Labels, float]]


def single(values: Mapping[str, int]) -> LabelledValues:
    return [((label,), value) for label, value in values.items()]


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """At least one batch, so that a family without samples is shown too."""
    whole = list(values)
    for begin in range(0, len(whole) or 1, size):
        yield whole[begin : begin + size]


def counter(name: str, meaning: str, labels: Labels, values: LabelledValues) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily

    for batch in _batches(values, CHUNK):
        family = CounterMetricFamily(PREFIX + name, meaning, labels=labels)
        for of, value in batch:
            family.add_metric(of, value)
        yield family


def gauge(name: str, meaning: str, labels: Labels, values: LabelledValues) -> "Iterator[Metric]":
    from prometheus_client.core import GaugeMetricFamily

    for batch in _batches(values, CHUNK):
        family = GaugeMetricFamily(PREFIX + name, meaning, labels=labels)
        for of, value in batch:
            family.add_metric(of, value)
        yield family


def histogram(
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
