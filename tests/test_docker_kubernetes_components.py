"""What a cluster may have besides: scaling by the queue, alerts, training jobs."""

import copy
import re
import subprocess
from pathlib import Path

import yaml

from tests.support.docker_files import ROOT
from tests.support.kubernetes_files import KUBERNETES, of_kind, pods, render
from tests.support.programs import first_installed


def test_queue_scaling_asks_for_metrics_that_exist() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    scaled = of_kind("full", "ScaledObject")
    assert scaled
    for manifest in scaled:
        worker = next(
            group
            for group in pods("full")
            if str(group).endswith("/" + manifest["spec"]["scaleTargetRef"]["name"])
        )
        args = worker.spec["containers"][0]["args"]
        served, places = args[args.index("--name") + 1], int(args[args.index("--max-num-seqs") + 1])
        assert manifest["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher"
        for trigger in manifest["spec"]["triggers"]:
            assert trigger["metadata"]["ignoreNullValues"] == "false"
            query = trigger["metadata"]["query"]
            metric = re.search(r"kodolly_gateway_\w+?(?=_sum\{|\{)", query)
            assert metric
            assert f"| `{metric.group()}` |" in page
            assert f'model="{served}"' in query
            assert 0 < float(trigger["metadata"]["threshold"]) < places


def scaling_answers(tmp_path: Path, *series: dict[str, str]) -> list[float | None]:
    """What Prometheus answers to the ScaledObject's queries after 10 minutes; None for an empty answer."""
    (manifest,) = of_kind("full", "ScaledObject")
    found: list[float | None] = []
    for trigger in manifest["spec"]["triggers"]:
        # Nothing is expected, so that promtool shows what it got instead.
        test = {"expr": trigger["metadata"]["query"], "eval_time": "10m", "exp_samples": []}
        case = {"interval": "15s", "input_series": list(series), "promql_expr_test": [test]}
        file = tmp_path / "case.yml"
        file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}), encoding="utf-8")
        done = subprocess.run(
            [first_installed("promtool"), "test", "rules", str(file)], capture_output=True, text=True
        )
        value = re.search(r"\{\} (\S+)", done.stdout + done.stderr)
        assert (done.returncode == 0) == (value is None), done.stdout + done.stderr
        found.append(float(value[1]) if value else None)
    return found


def test_queue_scaling_tells_an_idle_model_from_a_prometheus_that_sees_nothing(tmp_path: Path) -> None:
    up = {"series": 'kodolly_gateway_process_up{process="0"}', "values": "1x80"}
    waits = {"series": 'kodolly_gateway_queue_depth{model="dolly", process="0"}', "values": "24x80"}
    works = {
        "series": 'kodolly_gateway_request_duration_seconds_sum{model="dolly", process="0"}',
        "values": "0+600x80",
    }
    assert scaling_answers(tmp_path, up, waits, works) == [24, 40]
    assert scaling_answers(tmp_path, up) == [0, 0]
    elsewhere = {"series": 'up{job="node"}', "values": "1x80"}
    assert scaling_answers(tmp_path, elsewhere) == [None, None], "KEDA must fall back, not scale down to 1"


def test_alerts_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    documented = re.search(r"### Alerts\n\n```yaml\n(.*?)```", page, re.DOTALL)
    assert documented
    (rules,) = of_kind("full", "PrometheusRule")
    spec = copy.deepcopy(rules["spec"])
    for rule in spec["groups"][0]["rules"]:
        assert rule.pop("labels")["severity"] in ("page", "ticket")
        assert set(rule.pop("annotations")) == {"summary", "action"}
    assert spec == yaml.safe_load(documented.group(1))


def test_alerts_say_what_to_do_in_words_of_the_cluster() -> None:
    (rules,) = of_kind("full", "PrometheusRule")
    text = yaml.safe_dump(rules, width=1000)
    assert "docker" not in text.lower()
    ours = {(m["kind"].lower(), m["metadata"]["name"]) for m in render("full")}
    named = re.findall(r"(deployment|statefulset)[/ ]([\w-]+)", text)
    assert named
    assert set(named) <= ours
    labels = {
        f"{key}={value}"
        for group in pods("full")
        for key, value in group.template["metadata"]["labels"].items()
    }
    assert set(re.findall(r" -l ([\w./=-]+)", text)) <= labels


def test_nightly_turn_is_a_command_that_there_is_and_its_refusals_are_not_repeated() -> None:
    from finetune.improve.gates import EXIT_CODES
    from kodolly.commands.improve import TOO_LITTLE, command

    (job,) = of_kind("improve", "CronJob")
    (group,) = pods("improve")
    name, *words = group.spec["containers"][0]["args"]
    assert name == "improve"
    with command.make_context("improve", [word for word in words if "=/" not in word]) as context:
        assert context.params["deploy"] is False
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known | {"--no-deploy"}
    (rule,) = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == sorted({TOO_LITTLE, *EXIT_CODES.values()})


def test_training_job_meets_at_its_first_pod() -> None:
    from finetune.recipes.load import load_recipe

    (job,), (service,) = of_kind("training", "Job"), of_kind("training", "Service")
    (group,) = pods("training")
    args = group.spec["containers"][0]["args"]
    assert f"--master-addr={job['metadata']['name']}-0.{service['metadata']['name']}" in args
    assert f"--master-port={service['spec']['ports'][0]['port']}" in args
    assert f"--nnodes={job['spec']['completions']}" in args
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    assert group.spec["subdomain"] == service["metadata"]["name"]
    assert f"--nproc-per-node={group.spec['containers'][0]['resources']['limits']['nvidia.com/gpu']}" in args
    (settings,) = of_kind("training", "ConfigMap")
    assert group.spec["volumes"][1]["configMap"]["name"] == settings["metadata"]["name"]
    assert load_recipe(KUBERNETES / "training" / "recipe.yaml").method == "lora"
