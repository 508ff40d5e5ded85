"""What a gateway process does with finished requests, from its start to its end, on its own event loop."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client.parser import text_string_to_metric_families as parse

from common.settings import load_settings
from server.settings import GatewaySettings
from server.telemetry.observability import Observability, observing
from server.telemetry.tracing import child_traceparent
from tests.support.metric_samples import live_values
from tests.support.records import request


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    return {"_env_file": None, "state_dir": tmp_path, "port": 8000}


def requests_by_process(exposition: bytes) -> dict[str, float]:
    return {
        sample.labels["process"]: sample.value
        for family in parse(exposition.decode())
        for sample in family.samples
        if sample.name == "kodolly_gateway_requests_total"
    }


def tell(observability: Observability, times: int = 1) -> None:
    for _ in range(times):
        for sink in observability.sinks:
            sink(request(traceparent=child_traceparent("")))


def test_every_process_is_counted_in_one_scrape_on_uvloop(settings: dict[str, Any]) -> None:
    async def scenario() -> tuple[bytes, str]:
        live = live_values()
        async with (
            observing(GatewaySettings(**settings), live, 0, 2) as first,
            observing(GatewaySettings(**settings), live, 1, 2) as second,
        ):
            tell(first, 3)
            tell(second, 4)
            return await first.scrape("")

    body, content_type = uvloop.run(scenario())
    assert requests_by_process(body) == {"0": 3, "1": 4}
    assert content_type.startswith("text/plain")
    assert list(settings["state_dir"].iterdir()) == []


async def test_nothing_of_it_runs_on_when_the_process_stops(settings: dict[str, Any]) -> None:
    before = asyncio.all_tasks()
    async with observing(GatewaySettings(**settings), live_values(), processes=2) as observability:
        path = observability.processes.socket_path(0)
        assert await asyncio.to_thread(os.path.exists, path)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(("access_log", "lines"), [(True, 2), (False, 1)])
async def test_failed_requests_are_logged_in_any_case(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture, access_log: bool, lines: int
) -> None:
    caplog.set_level(logging.INFO)
    given = GatewaySettings(**settings, access_log=access_log)
    async with observing(given, live_values()) as observability:
        for sink in observability.sinks:
            sink(request())
            sink(request(outcome="failed"))
    assert [r.name for r in caplog.records].count("server.access") == lines


async def test_traces_are_off_without_a_collector_and_lost_ones_are_counted_with_one(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setattr("server.telemetry.tracing.TIMEOUT_S", 0.2)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with observing(GatewaySettings(**settings), live_values()) as off:
        assert off.tracer is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    given = load_settings(GatewaySettings, {"state_dir": settings["state_dir"]})
    async with observing(given, live_values()) as on:
        tell(on)
        assert on.tracer is not None
    assert on.tracer.dropped == 1
    body, _ = await on.scrape("")
    assert b'kodolly_gateway_traces_dropped_total{process="0"} 1.0' in body
