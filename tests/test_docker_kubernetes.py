"""The Kubernetes manifests: rendered by kustomize, held against the official schemas and against the code.

What is named in two places (a port, a path, a flag, a variable, a secret's key) has one name in both.
"""

import copy
import functools
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import kubernetes_validate.utils
import pytest
import yaml
from jsonschema.validators import Draft202012Validator
from referencing import Registry, Resource

from common.settings import PartSettings
from controller.settings import ControllerSettings
from kodolly.commands.controller import command as controller_command
from kodolly.commands.gateway import command as gateway_command
from kodolly.commands.webui import command as webui_command
from kodolly.commands.worker import command as worker_command
from server.settings import GatewaySettings
from tests.processes import PATIENCE_S
from tests.programs import first_installed
from webui.settings import WebuiSettings
from worker.flags import check_flags
from worker.process import TERMINATE_GRACE_S
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "docker" / "kubernetes"
STACKS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
RENDERED = [*STACKS, "training"]
OLDEST = "1.30"
"""The preStop hook `sleep` is there, without a switch, since this version."""
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One part of kodolly as code knows it."""

    settings: type[PartSettings]
    command: click.Command
    images: tuple[str, ...]
    port: int
    health: str


PARTS = {
    "controller": Part(ControllerSettings, controller_command, ("kodolly-gateway",), 21001, "/healthz"),
    "gateway": Part(GatewaySettings, gateway_command, ("kodolly-gateway",), 8000, "/healthz"),
    "webui": Part(WebuiSettings, webui_command, ("kodolly-webui",), 7860, "/healthz"),
    "worker": Part(
        WorkerSettings, worker_command, ("kodolly-worker-cpu", "kodolly-worker-gpu"), 21002, "/health"
    ),
}
OTHER_IMAGES = {"postgres:17-bookworm"}
OTHER_VARIABLES = {
    *("POD_IP", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA", "OPENAI_API_KEY"),
    *("VLLM_HOST_IP", "VLLM_NO_USAGE_STATS", "HTTPS_PROXY"),
}
TEMPLATE_PATHS = {
    "Deployment": ["template"],
    "StatefulSet": ["template"],
    "Job": ["template"],
    "LeaderWorkerSet": ["leaderWorkerTemplate.leaderTemplate", "leaderWorkerTemplate.workerTemplate"],
}
CUSTOM = {"LeaderWorkerSet", "ScaledObject", "ServiceMonitor", "PrometheusRule"}
"""Kinds whose schemas are not part of Kubernetes."""


# -- reading ----------------------------------------------------------------------------------------------


@functools.cache
def render(name: str) -> tuple[Manifest, ...]:
    directory = KUBERNETES / name if name == "training" else KUBERNETES / "overlays" / name
    program = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}[
        first_installed("kustomize", "kubectl")
    ]
    done = subprocess.run([*program, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def of_kind(name: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in render(name) if manifest["kind"] in kinds]


@dataclass(frozen=True)
class Pods:
    """The pods that one template makes."""

    owner: Manifest
    template: Manifest

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template["metadata"]["labels"])

    @property
    def spec(self) -> Manifest:
        return dict(self.template["spec"])

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def __str__(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"


def pods(name: str) -> Iterator[Pods]:
    for manifest in render(name):
        for path in TEMPLATE_PATHS.get(manifest["kind"], []):
            template = functools.reduce(lambda at, key: at[key], path.split("."), manifest["spec"])
            yield Pods(manifest, template)


def part_of(container: Manifest) -> str | None:
    """The part of kodolly that a container becomes."""
    words = [*container.get("command", []), *container.get("args", [])]
    return next((word for word in words if word in PARTS), None) if "kodolly" in container["image"] else None


def parts(name: str) -> Iterator[tuple[Pods, Manifest, Part]]:
    for group in pods(name):
        for container in group.spec["containers"]:
            if part := part_of(container):
                yield group, container, PARTS[part]


def variables(container: Manifest) -> dict[str, Manifest]:
    return {entry["name"]: entry for entry in container.get("env", [])}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return all(labels.get(key) == value for key, value in wanted)


# -- the official schemas ---------------------------------------------------------------------------------


@functools.cache
def schemas(version: str) -> tuple[Path, Registry[Any]]:
    found = [one for one in kubernetes_validate.utils.all_versions() if one.startswith(version)]
    folder = (
        Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{found[-1]}-local-strict"
    )
    definitions = Resource.from_contents(json.loads((folder / "_definitions.json").read_text("utf-8")))
    return folder, Registry().with_resource("_definitions.json", definitions)


def check_schema(manifest: Manifest, version: str) -> None:
    folder, registry = schemas(version)
    group, _, number = manifest["apiVersion"].rpartition("/")
    name = "-".join(word for word in (manifest["kind"].lower(), group.partition(".")[0], number) if word)
    schema = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    errors = [
        error.message for error in Draft202012Validator(schema, registry=registry).iter_errors(manifest)
    ]
    assert not errors, f"{manifest['kind']}/{manifest['metadata']['name']}: {errors}"


@pytest.mark.slow
@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.utils.latest_version()])
def test_official_schemas_accept_every_manifest(version: str) -> None:
    version = ".".join(version.split(".")[:2])
    seen = set()
    for name in RENDERED:
        for manifest in render(name):
            text = json.dumps(manifest, sort_keys=True)
            if manifest["kind"] not in CUSTOM and text not in seen:
                check_schema(manifest, version)
                seen.add(text)
        for group in pods(name):
            if group.owner["kind"] not in CUSTOM:
                continue
            check_schema(
                {
                    "apiVersion": "v1",
                    "kind": "PodTemplate",
                    "metadata": {"name": "x"},
                    "template": group.template,
                },
                version,
            )


def test_official_schemas_refuse_what_is_wrong() -> None:
    gateway = next(one for one in of_kind("gpu", "Deployment") if one["metadata"]["name"] == "gateway")
    wrong = json.loads(json.dumps(gateway))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    with pytest.raises(AssertionError, match="livenessProb"):
        check_schema(wrong, OLDEST)


# -- safety -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RENDERED)
def test_no_pod_has_a_privilege(name: str) -> None:
    for group in pods(name):
        spec = group.spec
        assert spec["securityContext"]["runAsNonRoot"] is True, group
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, group
        assert spec["automountServiceAccountToken"] is False, group
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), group
        assert not any("hostPath" in volume for volume in spec["volumes"]), group
        for container in group.containers:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, group
            assert security["allowPrivilegeEscalation"] is False, group
            assert security["capabilities"] == {"drop": ["ALL"]}, group
            assert "memory" in container["resources"]["limits"], group


@pytest.mark.parametrize("name", RENDERED)
def test_service_links_do_not_become_settings(name: str) -> None:
    """A Service `kodolly-gateway` would set KODOLLY_GATEWAY_PORT=tcp://... in every pod."""
    for group in pods(name):
        assert group.spec["enableServiceLinks"] is False, group


@pytest.mark.parametrize("name", RENDERED)
def test_no_part_is_the_first_process_of_its_container(name: str) -> None:
    """Which gets no SIGTERM before it has a handler, and must bury the orphans of a killed engine."""
    for group in pods(name):
        if any("kodolly" in container["image"] for container in group.containers):
            assert group.spec["shareProcessNamespace"] is True, group


@pytest.mark.parametrize("name", RENDERED)
def test_secrets_are_named_and_never_there(name: str) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert not of_kind(name, "Secret")
    for group in pods(name):
        for container in group.containers:
            for variable, entry in variables(container).items():
                if re.search("TOKEN|PASSWORD|API_KEY|DATABASE_URL", variable) and "valueFrom" in entry:
                    reference = entry["valueFrom"]["secretKeyRef"]
                    assert reference["name"] == "kodolly"
                    assert f"--from-literal={reference['key']}=" in page, (
                        f"{reference['key']} is not explained"
                    )
                elif re.search("TOKEN|PASSWORD|API_KEY", variable):
                    pytest.fail(f"{variable} of {group} has a value")


# -- what the code knows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STACKS)
def test_settings_understand_every_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for group, container, part in parts(name):
        known = {
            f"{part.settings.model_config['env_prefix']}{field}".upper()
            for field in part.settings.model_fields
        }
        for field in part.settings.model_fields.values():
            known |= {str(choice) for choice in getattr(field.validation_alias, "choices", ())}
        with monkeypatch.context() as patch:
            for variable, entry in variables(container).items():
                assert variable in known | OTHER_VARIABLES, f"{variable} of {group} is no setting"
                value = entry.get("value", "secret").replace("$(POD_IP)", "10.1.2.3")
                patch.setenv(variable, value)
            settings = part.settings()
        if isinstance(settings, WorkerSettings):
            assert settings.url() == "http://10.1.2.3:21002"
        if isinstance(settings, GatewaySettings):
            assert settings.store_url()


@pytest.mark.parametrize("name", STACKS)
def test_commands_understand_every_flag(name: str) -> None:
    for group, container, part in parts(name):
        words = [*container.get("command", []), *container["args"]]
        start = next(index for index, word in enumerate(words) if word in PARTS)
        context = part.command.make_context(words[start], words[start + 1 :])
        if vllm_args := context.params.get("vllm_args"):
            if "ray" in vllm_args:  # which an image of its own brings
                vllm_args = tuple(word for word in vllm_args if word != "ray")
            check_flags(vllm_args)
        assert container["image"] in part.images, group


@pytest.mark.parametrize("name", RENDERED)
def test_images_are_built_here(name: str) -> None:
    for group in pods(name):
        for container in group.containers:
            image = container["image"]
            assert image in OTHER_IMAGES or (ROOT / "docker" / f"{image[8:]}.Dockerfile").exists(), group
            if image.startswith("kodolly-") and "command" not in container:
                entry = (ROOT / "docker" / "entrypoint").read_text(encoding="utf-8")
                assert re.search(rf"\b{container['args'][0]}\b", entry), f"{group}: {container['args'][0]}"


@pytest.mark.parametrize("name", STACKS)
def test_ports_and_probes_are_those_of_the_code(name: str) -> None:
    for group, container, part in parts(name):
        assert part.settings.model_fields["port"].default == part.port
        assert [port["containerPort"] for port in container["ports"]] == [part.port], group
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert (asked["path"], asked["port"]) == (part.health, container["ports"][0]["name"]), group


def test_health_routes_exist() -> None:
    from controller.app import public as controller_routes
    from server.api import public as gateway_routes

    for router in (controller_routes, gateway_routes):
        assert "/healthz" in {getattr(route, "path", "") for route in router.routes}
    assert '@app.get("/healthz")' in (ROOT / "webui" / "app.py").read_text(encoding="utf-8")
    # vLLM's own, which the supervisor asks too; tests/test_worker_supervisor.py runs against the real one.
    assert 'f"{url}/health"' in (ROOT / "common" / "engine_questions.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STACKS)
def test_all_controllers_are_told_to_everyone(name: str) -> None:
    replicas = next(one for one in of_kind(name, "StatefulSet") if one["metadata"]["name"] == "controller")
    urls = [f"http://controller-{number}.controller:21001" for number in range(replicas["spec"]["replicas"])]
    told = 0
    for group, container, part in parts(name):
        if part.settings in (GatewaySettings, WorkerSettings):
            variable = f"{part.settings.model_config['env_prefix']}CONTROLLERS"
            assert json.loads(variables(container)[variable]["value"]) == urls, group
            told += 1
    assert told >= 2


@pytest.mark.parametrize("name", STACKS)
def test_pods_live_until_they_have_drained(name: str) -> None:
    checked = 0
    for group, container, part in parts(name):
        if "drain_timeout_s" not in part.settings.model_fields:
            continue
        drain = float(
            variables(container)[f"{part.settings.model_config['env_prefix']}DRAIN_TIMEOUT_S"]["value"]
        )
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = before + drain + TERMINATE_GRACE_S + 5
        assert group.spec["terminationGracePeriodSeconds"] >= needed, group
        checked += 1
    assert checked >= 2


@pytest.mark.parametrize("name", STACKS)
def test_loading_is_not_taken_for_death(name: str) -> None:
    """While the engine of a worker of one pod loads again, its supervisor must not be killed for it."""
    for group, container, part in parts(name):
        if part.settings is WorkerSettings and group.owner["kind"] == "Deployment":
            start, live = container["startupProbe"], container["livenessProbe"]
            loading = start["periodSeconds"] * start["failureThreshold"]
            assert live["periodSeconds"] * live["failureThreshold"] >= loading >= 600, group


@pytest.mark.parametrize("name", STACKS)
def test_memory_limits_satisfy_the_doctor(name: str) -> None:
    from kodolly.doctor_parts import MEMORY_BYTES

    units = {"Mi": 1024**2, "Gi": 1024**3}
    for group, container, _ in parts(name):
        limit = container["resources"]["limits"]["memory"]
        assert int(limit[:-2]) * units[limit[-2:]] > MEMORY_BYTES[str(part_of(container))], group


# -- how they fit together --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RENDERED)
def test_references_lead_somewhere(name: str) -> None:
    groups = list(pods(name))
    names = {(one["kind"], one["metadata"]["name"]) for one in render(name)}
    for manifest in render(name):
        spec = manifest.get("spec", {})
        if manifest["kind"] == "Service":
            found = [group for group in groups if matches({"matchLabels": spec["selector"]}, group.labels)]
            assert len(found) == 1, manifest["metadata"]["name"]
            own = {p.get("name") for c in found[0].spec["containers"] for p in c.get("ports", [])}
            assert all(p["targetPort"] in own or isinstance(p["targetPort"], int) for p in spec["ports"])
        elif manifest["kind"] in ("PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet"):
            selector = spec.get("selector") or spec["podSelector"]
            assert any(matches(selector, group.labels) for group in groups), manifest["metadata"]
        elif manifest["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = spec["scaleTargetRef"]
            assert (target.get("kind", "Deployment"), target["name"]) in names
            deployment = next(
                one for one in of_kind(name, "Deployment") if one["metadata"]["name"] == target["name"]
            )
            assert "replicas" not in deployment["spec"], "two would decide about one number"
        elif manifest["kind"] == "ServiceMonitor":
            assert any(
                matches(spec["selector"], one["metadata"]["labels"]) for one in of_kind(name, "Service")
            )
    budgets = [one["spec"]["selector"] for one in of_kind(name, "PodDisruptionBudget")]
    for group, _, part in parts(name) if name in STACKS else ():
        if part.settings is not WebuiSettings and group.owner["kind"] != "LeaderWorkerSet":
            assert sum(matches(selector, group.labels) for selector in budgets) == 1, group


def allowed(name: str, source: Pods, target: Pods, port: int) -> bool:
    """Whether the network policies let `source` reach `target`."""

    def permits(direction: str, peer: str, own: Pods, other: Pods) -> bool:
        policies = [
            one["spec"]
            for one in of_kind(name, "NetworkPolicy")
            if matches(one["spec"]["podSelector"], own.labels)
            and direction.capitalize() in one["spec"]["policyTypes"]
        ]
        return not policies or any(
            _rule_permits(rule, peer, other, port) for one in policies for rule in one.get(direction, [])
        )

    return permits("egress", "to", source, target) and permits("ingress", "from", target, source)


def _rule_permits(rule: Manifest, peer: str, other: Pods, port: int) -> bool:
    if "ports" in rule and port not in {one["port"] for one in rule["ports"]}:
        return False
    return peer not in rule or any(
        matches(one.get("podSelector", {"matchLabels": {"no": "pod"}}), other.labels) for one in rule[peer]
    )


NEEDED = {
    *(("gateway", "controller"), ("worker", "controller"), ("controller", "worker"), ("gateway", "worker")),
    *(("webui", "gateway"), ("gateway", "postgres")),
}


@pytest.mark.parametrize("name", STACKS)
def test_network_policies_let_through_what_is_needed_and_no_more(name: str) -> None:
    ports = {"postgres": 5432} | {part: facts.port for part, facts in PARTS.items()}
    for source in pods(name):
        for target in pods(name):
            ends = [
                group.labels["app.kubernetes.io/name"].removeprefix("kodolly-") for group in (source, target)
            ]
            if ends[1] not in ports or any("kodolly/role" in group.labels for group in (source, target)):
                continue
            # Gateway and web UI are open doors; but who has no business there cannot go out.
            assert allowed(name, source, target, ports[ends[1]]) == (tuple(ends) in NEEDED), ends
            assert not allowed(name, source, target, 22)


def test_the_nodes_of_one_engine_reach_each_other_on_any_port() -> None:
    leader, node = (group for group in pods("multi-node") if group.owner["kind"] == "LeaderWorkerSet")
    outside = next(group for group in pods("multi-node") if str(group) == "Deployment/gateway")
    assert allowed("multi-node", leader, node, 40_123)
    assert allowed("multi-node", node, leader, 29_501)
    assert allowed("multi-node", outside, leader, 21002)
    assert not allowed("multi-node", outside, node, 21002)
    words = [[*group.spec["containers"][0]["args"]] for group in (leader, node)]
    size = leader.owner["spec"]["leaderWorkerTemplate"]["size"]
    for flag in ("--tensor-parallel-size", "--pipeline-parallel-size", "--nnodes", "--max-num-seqs"):
        assert words[0][words[0].index(flag) + 1] == words[1][words[1].index(flag) + 1]
    assert words[0][words[0].index("--nnodes") + 1] == str(size)


@pytest.mark.slow
def test_the_nodes_of_one_engine_stay_while_the_leader_drains() -> None:
    """vLLM's other processes end at the first SIGTERM, and take the running answers with them."""
    _, node = (group for group in pods("multi-node") if group.owner["kind"] == "LeaderWorkerSet")
    wait = node.spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    asked: queue.Queue[str] = queue.Queue()

    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            asked.put(self.path)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    engine = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    serving = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    script = wait[2].replace(":21002", f":{engine.server_port}")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    hook = subprocess.Popen(
        [*wait[:2], script], env=os.environ | {"LWS_LEADER_ADDRESS": "127.0.0.1", "PATH": programs}
    )
    assert [asked.get(timeout=PATIENCE_S), asked.get(timeout=PATIENCE_S)] == ["/health"] * 2
    assert hook.poll() is None
    engine.shutdown()
    engine.server_close()
    serving.join()
    assert hook.wait(PATIENCE_S) == 0


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
        for trigger in manifest["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            metric = re.search(r"kodolly_gateway_\w+?(?=_sum\{|\{)", query)
            assert metric
            assert f"| `{metric.group()}` |" in page
            assert f'model="{served}"' in query
            assert 0 < float(trigger["metadata"]["threshold"]) < places


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


def test_training_job_meets_at_its_first_pod() -> None:
    from finetune.recipe import load_recipe

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


# -- flags of others --------------------------------------------------------------------------------------

PARSE = """
import json, sys
from torch.distributed.run import get_args_parser
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
engine, torchrun = json.load(sys.stdin)
parser = make_arg_parser(FlexibleArgumentParser())
for words in engine:
    parser.parse_args(words)
get_args_parser().parse_args(torchrun)
"""


@pytest.mark.slow
def test_vllm_and_torchrun_understand_their_flags() -> None:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    engine = []
    for name in STACKS:
        for group in pods(name):
            args = group.spec["containers"][0].get("args", [])
            if args[:1] == ["worker"] and "--" in args:
                engine.append(args[args.index("--") + 1 :])
            if args[:1] == ["serve"]:
                engine.append(args[2:])
    assert len(engine) >= 4
    # What Kubernetes puts in.
    given = (
        json.dumps(engine).replace("$(LWS_LEADER_ADDRESS)", "10.1.2.3").replace("$(LWS_WORKER_INDEX)", "1")
    )
    (group,) = pods("training")
    torchrun = [word.replace("$(JOB_COMPLETION_INDEX)", "1") for word in group.spec["containers"][0]["args"]]
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        input=json.dumps([json.loads(given), torchrun]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
