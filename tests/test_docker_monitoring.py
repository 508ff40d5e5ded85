"""Prometheus, Grafana and the alerts: their files are read by their programs, and name metrics that exist."""

import json
import re
import subprocess

import yaml

from tests.docker_files import DOCKER, ROOT, SERVICES
from tests.programs import first_installed


def known_metrics() -> set[str]:
    """The documented ones; tests/test_server_metrics.py holds that table against the code."""
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE):
        names |= {f"{name}_{end}" for end in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def expressions() -> dict[str, str]:
    rules = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    found = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    board = json.loads((DOCKER / "grafana" / "dashboards" / "kodolly.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"]
    return found


def test_alerts_and_panels_ask_for_metrics_that_exist() -> None:
    known = known_metrics()
    for name, expression in expressions().items():
        used = set(re.findall(r"\b(?:kodolly|process)_\w+", expression))
        assert used or "up{" in expression, name
        assert used <= known, (name, used - known)
        assert expression.count("(") == expression.count(")")


def test_each_alert_says_what_happened_and_what_to_do() -> None:
    rules = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"].keys() == {"summary", "action"}
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    assert set(re.findall(r"- alert: (\w+)", text)) == {alert["alert"] for alert in alerts}


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    provisioning = DOCKER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    board = json.loads((DOCKER / "grafana" / "dashboards" / "kodolly.json").read_text(encoding="utf-8"))
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "kodolly.yaml").read_text())["providers"]
    assert any(
        mount == f"./grafana/dashboards:{provider['options']['path']}:ro"
        for mount in SERVICES["grafana"]["volumes"]
    )
    places = [tuple(panel["gridPos"][key] for key in "xy") for panel in board["panels"]]
    assert len(set(places)) == len(places)


def test_prometheus_takes_configuration_and_rules() -> None:
    promtool = first_installed("promtool")
    done = subprocess.run(
        [promtool, "check", "rules", str(DOCKER / "prometheus" / "alerts.yml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
