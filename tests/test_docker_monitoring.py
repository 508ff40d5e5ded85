"""Prometheus, Grafana and the alerts: their files are read by their programs, and name metrics that exist."""

import json
import re
import subprocess

import yaml

from tests.support.docker_files import DOCKER, ROOT, SERVICES
from tests.support.programs import first_installed


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


def test_each_metric_of_the_gateway_is_on_the_dashboard() -> None:
    board = (DOCKER / "grafana" / "dashboards" / "kodolly.json").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    metrics = set(re.findall(r"^\| `(kodolly_gateway_\w+)` \|", text, re.MULTILINE))
    shown = set(re.findall(r"kodolly_gateway_\w+?(?=_bucket\b|\b)", board))
    # Attempts are requests and retries; what runs is a question for the version in the log.
    assert metrics - shown == {"kodolly_gateway_attempts_total", "kodolly_gateway_build_info"}


def test_each_alert_says_what_happened_and_what_to_do() -> None:
    rules = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"].keys() == {"summary", "action"}
    text = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    documented = re.search(r"### Alerts\n\n```yaml\n(.*?)```", text, re.DOTALL)
    assert documented
    (group,) = yaml.safe_load(documented[1])["groups"]
    assert group["rules"] == [{key: alert[key] for key in ("alert", "expr", "for")} for alert in alerts]


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
