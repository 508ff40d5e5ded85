"""The Kubernetes manifests against the code: what is named in two places (a port, a path, a flag, a variable,
a secret's key) has one name in both; and no pod may do more than it must.
"""

import json
import re

import pytest

from server.settings import GatewaySettings
from tests.support.docker_files import ROOT
from tests.support.kubernetes_files import PARTS, RENDERED, STACKS, of_kind, part_of, parts, pods, variables
from worker.flags import check_flags
from worker.process import TERMINATE_GRACE_S
from worker.settings import WorkerSettings

OTHER_IMAGES = {"postgres:17-bookworm"}
OTHER_VARIABLES = {
    *("POD_IP", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "PGDATA", "OPENAI_API_KEY"),
    *("VLLM_HOST_IP", "VLLM_NO_USAGE_STATS", "HTTPS_PROXY", "NO_PROXY"),
}


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
                if (
                    re.search("TOKEN|PASSWORD|API_KEY|CLIENT_SECRET|DATABASE_URL", variable)
                    and "valueFrom" in entry
                ):
                    reference = entry["valueFrom"]["secretKeyRef"]
                    assert reference["name"] == "kodolly"
                    assert f"--from-literal={reference['key']}=" in page, (
                        f"{reference['key']} is not explained"
                    )
                elif re.search("TOKEN|PASSWORD|API_KEY|CLIENT_SECRET", variable):
                    pytest.fail(f"{variable} of {group} has a value")


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
                of_secret = "https://secret" if re.search("PUBLIC_URL|ISSUER", variable) else "secret"
                value = entry.get("value", of_secret).replace("$(POD_IP)", "10.1.2.3")
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
    from server.api.public import public as gateway_routes

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
    from kodolly.doctor.parts import MEMORY_BYTES

    units = {"Mi": 1024**2, "Gi": 1024**3}
    for group, container, _ in parts(name):
        limit = container["resources"]["limits"]["memory"]
        assert int(limit[:-2]) * units[limit[-2:]] > MEMORY_BYTES[str(part_of(container))], group
