"""Metrics of a gateway where nothing happens but what a test gives, and their samples, parsed."""

import asyncio
from collections.abc import Iterable
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from common.database import StoreHealth
from server.telemetry.families import LiveValues
from server.telemetry.metrics import GatewayMetrics
from server.upstreams.directory import Directory
from tests.support.records import request

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def live_values(**live: Any) -> LiveValues:
    """Of a gateway where nothing happens, but for what is given."""
    nothing: dict[str, Any] = {
        "directory": Directory(),
        "queue_depths": dict,
        "breaker_states": dict,
        "client_connections": lambda: 0,
        "traces_dropped": lambda: 0,
        "store": StoreHealth(),
        "conversations": dict,
    }
    return LiveValues(**(nothing | live))


def metrics(process: int = 0, **live: Any) -> GatewayMetrics:
    return GatewayMetrics(live_values(**live), process)


def exposition(of: GatewayMetrics, accept: str = "") -> str:
    return asyncio.run(of.render(accept))[0].decode()


def samples(text: str, *, without: Iterable[str] = ("process",)) -> Samples:
    parse = parse_openmetrics if text.endswith("# EOF\n") else parse_text
    return {
        (
            s.name.removeprefix("kodolly_gateway_"),
            frozenset((k, v) for k, v in s.labels.items() if k not in without),
        ): (s.value)
        for family in parse(text)
        for s in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def fresh(process: int, tokens: int) -> GatewayMetrics:
    m = metrics(process)
    m.observe(request(usage=None))
    for _ in range(tokens):
        m.observe(request(model=f"only-{process}"))
    return m
