"""The alerts fire when they should and are silent when they should be, by promtool's own unit tests."""

import re
import subprocess
from pathlib import Path

import yaml

from tests.docker_files import DOCKER
from tests.programs import first_installed

UP = {"series": 'up{job="kodolly-gateway", instance="g"}', "values": "1x30"}


def workers(model: str, values: str, state: str = "ready") -> dict[str, str]:
    labels = f'model="{model}", state="{state}", instance="g", process="0"'
    return {"series": f"kodolly_gateway_model_workers{{{labels}}}", "values": values}


def store(name: str, values: str) -> dict[str, str]:
    return {"series": f'kodolly_gateway_store_{name}{{instance="g", process="0"}}', "values": values}


def firing(tmp_path: Path, alert: str, *series: dict[str, str], at: str = "10m") -> list[dict[str, str]]:
    """The labels of each firing instance of `alert`, with a sample of every series each 15 s."""
    program = first_installed("promtool")
    case = {"interval": "15s", "input_series": list(series)}
    case["alert_rule_test"] = [
        {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": {"no": "x"}}]}
    ]
    text = {"rule_files": [str(DOCKER / "prometheus" / "alerts.yml")], "tests": [case]}
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    done = subprocess.run([program, "test", "rules", str(file)], capture_output=True, text=True)
    got = (done.stdout + done.stderr).partition("got:")[2]
    return [dict(re.findall(r'(\w+)="([^"]*)"', one)) for one in re.findall(r"Labels:\{(.*?)\}", got)]


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
