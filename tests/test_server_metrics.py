"""Metrics: what is counted, bounded labels, both exposition formats, and the documentation."""

import asyncio
import contextlib
import dataclasses
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pydantic import SecretStr

from common.database import StoreHealth
from common.registry import ModelCard, WorkerState
from server.record import FailedAttempt
from server.telemetry.counts import MOST_MODELS, MOST_UPSTREAMS
from server.telemetry.metrics_peers import Processes, scrape
from server.upstreams.directory import Directory
from server.upstreams.status import status_models
from server.upstreams.upstream import Reported, Upstream
from tests.support.metric_samples import OPENMETRICS, exposition, metrics, samples, value
from tests.support.records import request

DOCS = Path(__file__).parents[1] / "docs" / "observability.md"


def test_an_answered_request_is_counted_once_everywhere() -> None:
    m = metrics()
    m.observe(request())
    found = samples(exposition(m))
    route = "/v1/chat/completions"
    assert value(found, "requests_total", model="돌리", route=route, outcome="ok", status="2xx") == 1
    assert value(found, "request_duration_seconds_sum", model="돌리", route=route) == 2.5
    assert value(found, "request_duration_seconds_bucket", model="돌리", route=route, le="2.5") == 1
    assert value(found, "request_duration_seconds_bucket", model="돌리", route=route, le="1.0") == 0
    assert value(found, "time_to_first_event_seconds_sum", model="돌리") == 0.5
    assert value(found, "time_per_output_token_seconds_sum", model="돌리") == 2.0 / 40
    assert value(found, "queue_duration_seconds_sum", model="돌리") == 0.125
    assert value(found, "overhead_seconds_sum") == 0.125
    assert value(found, "prompt_tokens_total", model="돌리") == 100
    assert value(found, "completion_tokens_total", model="돌리") == 41
    assert value(found, "cached_tokens_total", model="돌리") == 64
    assert value(found, "attempts_total", model="돌리") == 1
    assert value(found, "retries_total", model="돌리") == 0
    assert value(found, "upstream_requests_total", upstream="worker-1", outcome="ok") == 1


def test_failed_over_cancelled_refused_and_resumed_requests_tell_apart() -> None:
    m = metrics()
    attempt = FailedAttempt("worker-1", 1000.0, 0.1, "upstream_failed")
    m.observe(request(attempts=2, upstream="worker-2", failed_attempts=(attempt,)))
    m.observe(
        request(
            attempts=2,
            upstream="worker-1",
            failed_attempts=(attempt,),
            outcome="failed",
            status=502,
            usage=None,
        )
    )
    m.observe(request(outcome="cancelled", status=0, first_event_s=None, usage=None))
    m.observe(
        request(outcome="refused", status=429, attempts=0, upstream="", error_code="rate_limit_exceeded")
    )
    m.observe(request(outcome="refused", status=404, model="", attempts=0, error_code="model_not_found"))
    m.observe(request(resumed=2))
    found = samples(exposition(m))
    statuses = {
        (labels["outcome"], labels["status"], labels["model"]): count
        for (name, pairs), count in found.items()
        if name == "requests_total"
        for labels in [dict(pairs)]
    }
    assert statuses == {
        ("ok", "2xx", "돌리"): 2,
        ("failed", "5xx", "돌리"): 1,
        ("cancelled", "none", "돌리"): 1,
        ("refused", "4xx", "돌리"): 1,
        ("refused", "4xx", ""): 1,
    }
    assert value(found, "attempts_total", model="돌리") == 6
    assert value(found, "retries_total", model="돌리") == 2
    assert value(found, "failovers_total", model="돌리") == 1
    assert value(found, "resumes_total", model="돌리") == 2
    assert value(found, "upstream_failures_total", upstream="worker-1", reason="upstream_failed") == 2
    assert value(found, "errors_total", code="model_not_found") == 1
    assert value(found, "time_to_first_event_seconds_count", model="돌리") == 3


def test_a_plain_answer_has_no_time_to_first_event() -> None:
    m = metrics()
    m.observe(request(stream=False))
    found = samples(exposition(m))
    assert value(found, "time_to_first_event_seconds_count", model="돌리") == 0
    assert value(found, "request_duration_seconds_count", model="돌리", route="/v1/chat/completions") == 1


@settings(deadline=None)
@given(st.lists(st.floats(0, 1000, allow_nan=False), max_size=60))
def test_buckets_count_what_is_at_most_their_bound(times: list[float]) -> None:
    m = metrics()
    for total in times:
        m.observe(request(total_s=total))
    found = samples(exposition(m))
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in found.items()
        if name == "request_duration_seconds_bucket"
    }
    assert buckets == {bound: sum(t <= float(bound) for t in times) for bound in buckets}
    assert not times or buckets["+Inf"] == len(times)


def test_labels_are_bounded_whatever_arrives() -> None:
    m = metrics(queue_depths=lambda: {f"model-{i}": 1 for i in range(3000)})
    for i in range(3000):
        m.observe(request(model=f"model-{i}", upstream=f"worker-{i}", error_code=f"code{i} {'x' * i}"))
    found = samples(exposition(m))
    assert value(found, "prompt_tokens_total", model="other") == 100 * (3000 - MOST_MODELS)
    assert value(found, "queue_depth", model="other") == 3000 - MOST_MODELS
    assert value(found, "upstream_requests_total", upstream="other", outcome="ok") == 3000 - MOST_UPSTREAMS
    assert value(found, "errors_total", code="other") == 3000
    tables = [getattr(m.numbers, field.name) for field in dataclasses.fields(m.numbers)]
    sizes = [len(table) for table in tables if isinstance(table, dict)]
    assert max(sizes) <= MOST_UPSTREAMS + 1


def test_the_same_models_stay_counted_by_name_after_the_limit() -> None:
    m = metrics()
    for i in range(MOST_MODELS + 50):
        m.observe(request(model=f"model-{i}"))
    m.observe(request(model="model-0"))
    assert value(samples(exposition(m)), "prompt_tokens_total", model="model-0") == 200


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@settings(deadline=None)
@given(name=st.text(min_size=1, max_size=40))
def test_any_model_name_survives_both_formats(accept: str, name: str) -> None:
    m = metrics()
    m.observe(request(model=name))
    assert value(samples(exposition(m, accept)), "prompt_tokens_total", model=name) == 100


def test_keys_request_ids_and_addresses_are_not_shown() -> None:
    directory = Directory()
    directory.workers["worker-1"] = Upstream(
        "worker-1", "worker", Reported("http://10.0.0.9:21002", SecretStr("sk-1"), {})
    )
    m = metrics(directory=directory)
    m.observe(request())
    text = exposition(m)
    for hidden in ("key-7", "req-secret-id", "10.0.0.9", "sk-1"):
        assert hidden not in text


def test_a_scrape_reads_what_is_so_now() -> None:
    directory = Directory()
    worker = Upstream(
        "worker-1",
        "worker",
        Reported("http://127.0.0.1:1", SecretStr(""), {}, state="draining", waiting=4),
    )
    directory.workers["worker-1"] = worker
    m = metrics(
        directory=directory,
        queue_depths=lambda: {"돌리": 3},
        breaker_states=lambda: {"worker-1": "half_open"},
        client_connections=lambda: 12,
        traces_dropped=lambda: 5,
    )
    worker.standing.in_flight = 2
    found = samples(exposition(m))
    assert value(found, "upstream_in_flight", upstream="worker-1", kind="worker") == 2
    assert value(found, "upstream_waiting", upstream="worker-1") == 4
    assert value(found, "upstream_state", upstream="worker-1", kind="worker", state="draining") == 1
    assert value(found, "upstream_state", upstream="worker-1", kind="worker", state="ready") == 0
    assert value(found, "breaker_state", upstream="worker-1", state="half_open") == 1
    assert value(found, "breaker_state", upstream="worker-1", state="open") == 0
    assert value(found, "queue_depth", model="돌리") == 3
    assert value(found, "client_connections") == 12
    assert value(found, "traces_dropped_total") == 5
    assert value(found, "controller_connected") == 0
    assert value(found, "process_open_fds") > 0
    worker.standing.in_flight = 0
    assert value(samples(exposition(m)), "upstream_in_flight", upstream="worker-1", kind="worker") == 0


def test_two_gateways_in_one_process_share_no_numbers() -> None:
    one, two = metrics(), metrics()
    one.observe(request())
    assert not any(name == "requests_total" for name, _ in samples(exposition(two)))


async def test_a_large_scrape_lets_other_work_go_on() -> None:
    m = metrics()
    for i in range(MOST_MODELS):
        m.observe(request(model=f"model-{i}"))
    rendering = asyncio.create_task(m.render())
    turns = 0
    while not rendering.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 50
    assert rendering.result()[0].count(b"# TYPE kodolly_gateway_request_duration_seconds ") == 1


async def test_a_blocked_event_loop_shows_in_its_lag() -> None:
    m = metrics()
    measuring = asyncio.create_task(m.measure_loop_lag())
    try:
        while True:
            time.sleep(0.3)  # noqa: ASYNC251 - what is measured
            await asyncio.sleep(0)
            found = samples((await m.render())[0].decode())
            if count := value(found, "event_loop_lag_seconds_count"):
                break
    finally:
        measuring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await measuring
    assert value(found, "event_loop_lag_seconds_bucket", le="0.025") < count


# -- the documentation ----------------------------------------------------------------------------------


def everything() -> str:
    """A scrape in which every family has a sample."""
    directory = Directory()
    directory.workers["worker-1"] = Upstream(
        "worker-1", "worker", Reported("", SecretStr(""), {"m": ModelCard(name="m")})
    )
    m = metrics(
        directory=directory,
        queue_depths=lambda: {"m": 1},
        breaker_states=lambda: {"worker-1": "open"},
        store=StoreHealth(),
        conversations=lambda: {"kept": 1},
    )
    failed = (FailedAttempt("worker-1", 1000.0, 0.1, "upstream_failed"),)
    m.observe(request(attempts=2, failed_attempts=failed, error_code="upstream_failed", arm="m-2"))
    return asyncio.run(scrape(m, Processes(Path(), 8000)))[0].decode()


def test_the_table_of_metrics_is_what_a_scrape_shows() -> None:
    rows = []
    for family in parse_text(everything()):
        assert family.samples, family.name
        labels = [label for label in family.samples[0].labels if label not in ("process", "le")]
        name = f"{family.name}_total" if family.type == "counter" else family.name
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    table = re.findall(r"^\| `.*\|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert table == rows, "\n".join(rows)


def test_queries_and_alerts_name_what_exists() -> None:
    text = DOCS.read_text(encoding="utf-8")
    queries = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    assert len(queries) >= 6
    groups = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(groups.*?)```", text, re.DOTALL)]
    queries += [rule["expr"] for block in groups for group in block["groups"] for rule in group["rules"]]
    found = list(samples(everything(), without=()))
    names = {f"kodolly_gateway_{name}" for name, _ in found} | {name for name, _ in found}
    labels = {label for _, pairs in found for label, _ in pairs} | {"instance", "job"}
    for query in queries:
        assert query.count("(") == query.count(")")
        used = set(re.findall(r"\b(?:kodolly|process)_\w+", query))
        assert used <= names, used - names
        grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(",")}
        assert grouped | set(re.findall(r"(\w+)=~?\"", query)) <= labels


def test_a_model_without_ready_workers_and_a_failing_store_are_shown() -> None:
    directory = Directory()
    states: list[tuple[str, WorkerState]] = [("돌리", "down"), ("kobest", "ready"), ("돌리", "loading")]
    for number, (model, state) in enumerate(states):
        reported = Reported("", SecretStr(""), {model: ModelCard(name=model)}, state=state)
        up = Upstream(f"w{number}", "worker", reported)
        directory.workers[up.id] = up
    health = StoreHealth(failures=3)
    found = samples(exposition(metrics(directory=directory, store=health)))
    assert value(found, "model_workers", model="돌리", state="ready") == 0
    assert value(found, "model_workers", model="돌리", state="loading") == 1
    assert value(found, "model_workers", model="kobest", state="ready") == 1
    assert value(found, "store_failures_total") == 3


def test_a_worker_that_was_never_seen_is_not_shown_as_fresh() -> None:
    now = 5000.0
    directory = Directory(clock=lambda: now)
    for name, seen in (("never", None), ("lately", 4990.0)):
        reported = Reported("", SecretStr(""), {"m": ModelCard(name="m")}, state="down")
        up = Upstream(name, "worker", reported, seen=seen)
        directory.put_static(up)
    found = samples(exposition(metrics(directory=directory)))
    assert value(found, "upstream_silence_seconds", upstream="lately") == 10
    assert value(found, "upstream_silence_seconds", upstream="never") == float("inf")
    assert status_models(directory)[0].last_seen_s == 10
