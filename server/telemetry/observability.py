"""Metrics, traces and log lines of one gateway process, from its start to its end."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from server.record import RequestRecord
from server.settings import GatewaySettings
from server.telemetry.access_log import AccessLog, log_failed_request
from server.telemetry.families import LiveValues
from server.telemetry.metrics import GatewayMetrics
from server.telemetry.metrics_peers import Processes, answer_siblings, scrape
from server.telemetry.tracing import Tracer, open_tracer

Sink = Callable[[RequestRecord], None]


@dataclass(frozen=True, slots=True)
class Observability:
    """What the relay and `GET /metrics` need."""

    metrics: GatewayMetrics
    processes: Processes
    tracer: Tracer | None
    """None when no traces are sent: then a client's `traceparent` is passed on as it came."""
    sinks: tuple[Sink, ...]
    """Each is to be told of every finished request."""

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Answer to `GET /metrics` and its content type, for the request's Accept header."""
        return await scrape(self.metrics, self.processes, accept)


@contextlib.asynccontextmanager
async def observing(
    settings: GatewaySettings, live: LiveValues, process: int = 0, processes: int = 1
) -> AsyncIterator[Observability]:
    """Observe while the block runs. `process` is this process's number among the gateway's `processes`.

    Raises UserError when the socket for the other processes cannot be made.
    """
    tracer = open_tracer(settings.otlp_endpoint)
    access_log = AccessLog()
    sinks: list[Sink] = [access_log.add if settings.access_log else log_failed_request]
    if tracer is not None:
        sinks.append(tracer.observe)
        live = dataclasses.replace(live, traces_dropped=lambda: tracer.dropped)
    metrics = GatewayMetrics(live, process)
    siblings = Processes(settings.state_dir, settings.port, processes)
    try:
        async with answer_siblings(metrics, siblings):
            yield Observability(metrics, siblings, tracer, (metrics.observe, *sinks))
    finally:
        access_log.write()
        if tracer is not None:
            await asyncio.to_thread(tracer.close)
