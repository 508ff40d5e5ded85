"""The alerts fire when they should and are silent when they should be, by promtool's own unit tests."""

import re
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.docker_files import DOCKER
from tests.support.programs import first_installed

UP = {"series": 'up{job="kodolly-gateway", instance="g"}', "values": "1x30"}


UP_LONG = UP | {"values": "1x160"}
WHOLE = "1x160"
"""Samples of 40 minutes, one each 15 s."""


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    pairs = ", ".join(
        f'{label}="{value}"' for label, value in ({"instance": "g", "process": "0"} | labels).items()
    )
    return {"series": f"{name}{{{pairs}}}", "values": values}


def gateway(name: str, values: str, **labels: str) -> dict[str, str]:
    return series(f"kodolly_gateway_{name}", values, **labels)


def workers(model: str, values: str, state: str = "ready") -> dict[str, str]:
    return gateway("model_workers", values, model=model, state=state)


def store(name: str, values: str) -> dict[str, str]:
    return gateway(f"store_{name}", values)


def histogram(name: str, per_scrape: dict[str, int], **labels: str) -> list[dict[str, str]]:
    """Buckets by upper bound, each with how many values more are counted at each scrape."""
    return [
        gateway(f"{name}_bucket", f"0+{more}x160", le=bound, **labels) for bound, more in per_scrape.items()
    ]


@dataclass(frozen=True)
class Question:
    """Whether `alert` fires at `at`, with a sample of every series each `step`."""

    alert: str
    series: Sequence[dict[str, str]]
    at: str = "10m"
    step: str = "15s"

    def write(self, folder: Path) -> Path:
        """As a file for promtool. It expects a label that no alert has, and so tells those that fire."""
        folder.mkdir()
        expected = [{"exp_labels": {"no": "x"}}]
        test = {"eval_time": self.at, "alertname": self.alert, "exp_alerts": expected}
        case = {"interval": self.step, "input_series": list(self.series), "alert_rule_test": [test]}
        # promtool evaluates every rule at every step: the others would take ten times as long.
        kept = [
            group | {"rules": [one for one in group["rules"] if one["alert"] == self.alert]}
            for group in groups()
        ]
        rules = folder / "rules.yml"
        rules.write_text(yaml.safe_dump({"groups": kept}, allow_unicode=True), encoding="utf-8")
        file = folder / "case.yml"
        text = {"rule_files": [str(rules)], "evaluation_interval": self.step, "tests": [case]}
        file.write_text(yaml.safe_dump(text), encoding="utf-8")
        return file


@cache
def groups() -> list[dict[str, Any]]:
    """Of rules, as docker/ has them."""
    text = (DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = yaml.safe_load(text)["groups"]
    return found


def answers(folder: Path, questions: Sequence[Question]) -> list[list[dict[str, str]]]:
    """For each question the labels of each firing instance, by one run of promtool."""
    program = first_installed("promtool")
    folder.mkdir()
    files = [str(question.write(folder / str(number))) for number, question in enumerate(questions)]
    done = subprocess.run([program, "test", "rules", *files], capture_output=True, text=True)
    told = [one.partition("got:")[2] for one in (done.stdout + done.stderr).split("FAILED:")[1:]]
    assert len(told) == len(questions), done.stderr
    instances = [re.findall(r"Labels:\{(.*?)\}", got) for got in told]
    return [[dict(re.findall(r'(\w+)="([^"]*)"', one)) for one in each] for each in instances]


def firing(
    tmp_path: Path, alert: str, *series: dict[str, str], at: str = "10m", step: str = "15s"
) -> list[dict[str, str]]:
    """The labels of each firing instance of `alert`."""
    (found,) = answers(tmp_path / uuid.uuid4().hex, [Question(alert, series, at, step)])
    return found


def test_one_model_without_a_worker_wakes_somebody_and_the_other_does_not(tmp_path: Path) -> None:
    gone = workers("dolly", "1x8 0x60")
    (found,) = firing(tmp_path, "ModelWithoutWorker", UP | {"values": "1x80"}, gone, workers("chat", "1x80"))
    assert (found["model"], found["severity"]) == ("dolly", "page")
    assert firing(tmp_path, "ModelWithoutWorker", UP | {"values": "1x80"}, workers("chat", "1x80")) == []


def test_a_model_that_has_left_is_missed_and_one_that_loads_at_first_is_not(
    tmp_path: Path,
) -> None:
    up = UP | {"values": "1x80"}
    (found,) = firing(tmp_path, "ModelWithoutWorker", up, workers("dolly", "1x8 _x60"))
    assert found["model"] == "dolly"
    loads = (workers("dolly", "0x80"), workers("dolly", "1x80", "loading"))
    assert firing(tmp_path, "ModelWithoutWorker", up, *loads) == []


def test_a_store_that_fails_or_is_silent_wakes_somebody_and_one_failure_does_not(tmp_path: Path) -> None:
    fails = store("failures_total", "0x10 1+1x60"), store("silence_seconds", "0x80")
    assert [one["severity"] for one in firing(tmp_path, "StoreFails", *fails)] == ["page"]
    silent = store("failures_total", "0x80"), store("silence_seconds", "0x8 15+15x60")
    assert [one["severity"] for one in firing(tmp_path, "StoreFails", *silent)] == ["page"]
    once = store("failures_total", "0x20 1x60"), store("silence_seconds", "0x80")
    assert firing(tmp_path, "StoreFails", *once) == []


Case = tuple[list[dict[str, str]], list[dict[str, str]]]
"""Series under which an alert fires, and others under which it is silent, after 35 minutes."""
CASES: dict[str, Case] = {
    "GatewayDown": ([UP | {"values": "1x20 0x140"}], [UP_LONG]),
    "GatewayProcessMissing": (
        [gateway("process_up", "1x20 0x140", process="1"), gateway("process_up", WHOLE)],
        [gateway("process_up", WHOLE, process="1"), gateway("process_up", WHOLE)],
    ),
    "NoReadyWorker": (
        [gateway("upstream_state", "0x160", kind="worker", state="ready", upstream="w")],
        [
            gateway("upstream_state", "0x160", kind="worker", state="ready", upstream="w"),
            gateway("upstream_state", WHOLE, kind="worker", state="ready", upstream="v"),
        ],
    ),
    "ModelWithoutWorker": ([UP_LONG, workers("dolly", "1x20 0x140")], [UP_LONG, workers("dolly", WHOLE)]),
    "ModelLoadsLong": (
        [workers("dolly", "0x160"), workers("dolly", WHOLE, "loading")],
        [workers("dolly", "0x110 1x50"), workers("dolly", "1x110 0x50", "loading")],
    ),
    "WorkerSilent": (
        [gateway("upstream_silence_seconds", "0x20 15+15x140", upstream="w")],
        # Down for a moment; and a second gateway that still hears it.
        [
            gateway("upstream_silence_seconds", "0x20 15+15x2 0x140", upstream="w"),
            gateway("upstream_silence_seconds", "15+15x160", upstream="v"),
            gateway("upstream_silence_seconds", "2x160", upstream="v", process="1"),
        ],
    ),
    "WorkerNeverSeen": (
        [gateway("upstream_silence_seconds", "Inf " * 160, upstream="w")],
        # One whose engine takes two minutes to start.
        [gateway("upstream_silence_seconds", "Inf " * 8 + "2x150", upstream="w")],
    ),
    "StoreFails": ([store("failures_total", "0+1x160")], [store("failures_total", "0x160")]),
    "RequestsFail": (
        [
            gateway("requests_total", "0+3x160", model="dolly", outcome="failed"),
            gateway("requests_total", "0+97x160", model="dolly", outcome="ok"),
        ],
        # Refused requests are the clients' own doing.
        [
            gateway("requests_total", "0+1x160", model="dolly", outcome="failed"),
            gateway("requests_total", "0+97x160", model="dolly", outcome="ok"),
            gateway("requests_total", "0+97x160", model="dolly", outcome="refused"),
        ],
    ),
    "BreakerOpen": (
        [gateway("breaker_state", WHOLE, upstream="w", state="open")],
        [
            gateway("breaker_state", WHOLE, upstream="w", state="half_open"),
            gateway("breaker_state", "0x160", upstream="w", state="open"),
        ],
    ),
    "LongQueue": (
        histogram("queue_duration_seconds", {"5.0": 1, "10.0": 10, "+Inf": 10}, model="dolly"),
        histogram("queue_duration_seconds", {"1.0": 10, "5.0": 10, "10.0": 10, "+Inf": 10}, model="dolly"),
    ),
    "SlowFirstEvent": (
        histogram("time_to_first_event_seconds", {"10.0": 1, "20.0": 10, "+Inf": 10}, model="dolly"),
        histogram("time_to_first_event_seconds", {"5.0": 10, "10.0": 10, "+Inf": 10}, model="dolly"),
    ),
    "EventLoopBlocked": (
        histogram("event_loop_lag_seconds", {"0.05": 58, "0.1": 60, "+Inf": 60}),
        histogram("event_loop_lag_seconds", {"0.025": 60, "0.05": 60, "0.1": 60, "+Inf": 60}),
    ),
    "FilesRunOut": (
        [
            series("process_open_fds", "900x160", job="kodolly-gateway"),
            series("process_max_fds", "1024x160", job="kodolly-gateway"),
        ],
        [
            series("process_open_fds", "100x160", job="kodolly-gateway"),
            series("process_max_fds", "1024x160", job="kodolly-gateway"),
        ],
    ),
    "ControllerLost": (
        [gateway("controller_connected", "1x20 0x140")],
        # Of two processes one still follows.
        [gateway("controller_connected", "0x160"), gateway("controller_connected", WHOLE, process="1")],
    ),
}


def test_each_alert_has_a_case() -> None:
    assert {rule["alert"] for group in groups() for rule in group["rules"]} == CASES.keys()


@pytest.fixture(scope="module")
def fired(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[dict[str, str]]]]:
    """For each alert what fires in each of its cases, by one promtool: each would take longer to start."""
    folder = tmp_path_factory.mktemp("alerts") / "cases"
    asked = [Question(alert, series, at="35m") for alert, case in CASES.items() for series in case]
    told = answers(folder, asked)
    return {alert: told[2 * number : 2 * number + 2] for number, alert in enumerate(CASES)}


@pytest.mark.parametrize("alert", CASES)
def test_each_alert_fires_and_is_silent(alert: str, fired: dict[str, list[list[dict[str, str]]]]) -> None:
    bad, good = fired[alert]
    assert [one["alertname"] for one in bad] == [alert]
    assert good == []


def test_a_gateway_that_prometheus_does_not_even_find_is_down(tmp_path: Path) -> None:
    elsewhere = series("up", WHOLE, job="node")
    assert [one["severity"] for one in firing(tmp_path, "GatewayDown", elsewhere)] == ["page"]


def test_a_worker_that_was_lost_is_told_before_the_controller_forgets_it(tmp_path: Path) -> None:
    """Its lease of 10 s runs out, then it is listed as down for two minutes more."""
    lost = gateway("upstream_silence_seconds", "0x20 15+15x8 _x140", upstream="w")
    assert len(firing(tmp_path, "WorkerSilent", lost, at="6m45s")) == 1
    never = gateway("upstream_silence_seconds", "Inf " * 160, upstream="w")
    assert firing(tmp_path, "WorkerSilent", never, at="35m") == [], (
        "a server that was never seen is told once"
    )


def test_no_ready_worker_is_news_only_where_workers_serve(tmp_path: Path) -> None:
    asked = partial(firing, tmp_path, "NoReadyWorker", step="4m")  # a day of every 15 s takes promtool long
    provider = [
        gateway("upstream_state", "1x500", kind="external", state="ready", upstream="openai"),
        gateway("upstream_state", "0x500", kind="external", state="down", upstream="openai"),
    ]
    for_an_hour = gateway("upstream_state", "1x15", kind="worker", state="ready", upstream="w")
    assert not asked(*provider)
    assert asked(*provider, for_an_hour, at="2h")
    assert not asked(*provider, for_an_hour, at="26h")
    assert firing(tmp_path, "NoReadyWorker", UP)
