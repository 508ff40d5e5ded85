"""docker/: the files agree with the code and with each other, and the programs that read them take them.

docker/test-compose runs what is only read here.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml
from pydantic_settings import BaseSettings

from controller.settings import ControllerSettings
from kodolly.cli import root
from kodolly.commands.doctor import command as doctor
from kodolly.doctor_docker import interpolate
from server.routes import ROUTES
from server.settings import OPENAI, GatewaySettings
from tests.programs import absent, first_installed
from webui.settings import WebuiSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGES = ("gateway", "webui", "worker-cpu", "worker-gpu")
PROFILES = (
    "",
    "demo",
    "gpu",
    "openai",
    "postgres",
    "monitoring",
    "tls",
    "demo,openai,postgres,monitoring,tls",
)
PARTS: dict[str, type[BaseSettings]] = {
    "controller": ControllerSettings,
    "gateway": GatewaySettings,
    "webui": WebuiSettings,
    "worker": WorkerSettings,
}
OWN = {name: service for name, service in SERVICES.items() if "build" in service}
COMPOSE_OWN = {"COMPOSE_PROFILES"}
"""Variables of Compose itself, and of libraries whose names we do not choose."""
LIBRARIES = {"FORWARDED_ALLOW_IPS", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def variables(part: str) -> set[str]:
    """Every environment variable that a part reads."""
    settings = PARTS[part]
    prefix = settings.model_config["env_prefix"]
    names = {f"{prefix}{name}".upper() for name in settings.model_fields}
    for field in settings.model_fields.values():
        names |= {str(choice) for choice in getattr(field.validation_alias, "choices", ())}
    return names | ({OPENAI.key_env} if part == "gateway" else set())


def part_of(service: dict[str, Any]) -> str:
    return str(service["command"][0])


def seconds(text: str) -> int:
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert found, text
    return 60 * int(found[1] or 0) + int(found[2] or 0)


# compose.yaml


@pytest.mark.slow
@pytest.mark.parametrize("profiles", PROFILES)
def test_compose_takes_the_file_with_each_profile(profiles: str, tmp_path: Path) -> None:
    program = first_installed("docker-compose", "docker")
    argv = ["docker-compose"] if program == "docker-compose" else ["docker", "compose"]
    if subprocess.run([*argv, "version"], capture_output=True).returncode:
        absent("Compose")
    values = tmp_path / "values"
    values.write_text(f"COMPOSE_PROFILES={profiles}\nKODOLLY_JOIN_TOKEN=token\n", encoding="utf-8")
    argv += ["--env-file", str(values), "-f", str(DOCKER / "compose.yaml")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KODOLLY", "COMPOSE"))}
    done = subprocess.run([*argv, "config", "--services"], capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    wanted = {
        name
        for name, service in SERVICES.items()
        if not service.get("profiles") or set(service["profiles"]) & set(profiles.split(","))
    }
    # Compose v2 lists what would run, docker-compose 1.29 all that could.
    assert set(done.stdout.split()) in (wanted, set(SERVICES))


@pytest.mark.slow
def test_the_file_is_valid_by_the_compose_specification() -> None:
    """Compose v2 is an implementation of that specification; all profiles at once."""
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*argv, str(DOCKER / "compose.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_limits_a_restart_policy_and_an_image_that_is_pinned(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name == "demo-models" else "unless-stopped")
    assert service["mem_limit"]
    image = interpolate(service["image"], {})
    if name in OWN:
        assert image.removesuffix(":latest").removeprefix("kodolly-") in IMAGES
        assert service["cap_drop"] == ["ALL"]
        assert service["build"]["dockerfile"] == f"docker/{image[8:-7]}.Dockerfile"
    else:
        assert re.search(r":v?\d+[\w.-]*$", image), image


@pytest.mark.parametrize("name", [name for name in OWN if name != "demo-models"])
def test_variables_commands_flags_and_ports_of_our_parts_exist_in_the_code(name: str) -> None:
    service, part = OWN[name], part_of(OWN[name])
    unknown = environment(service).keys() - variables(part) - COMPOSE_OWN - LIBRARIES
    assert unknown == set()
    command = root.get_command(click.Context(root), part)
    assert command is not None
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in service["command"] if word.startswith("--")} <= flags
    for published in service.get("ports", ()):
        assert int(interpolate(published, {}).rpartition(":")[2]) == PARTS[part].model_fields["port"].default


def test_the_addresses_between_the_parts_lead_to_their_ports() -> None:
    ports = {name: settings.model_fields["port"].default for name, settings in PARTS.items()}
    texts = [
        (DOCKER / "compose.yaml").read_text(encoding="utf-8"),
        (DOCKER / "caddy" / "Caddyfile").read_text(encoding="utf-8"),
        *((DOCKER / f"{image}.Dockerfile").read_text(encoding="utf-8") for image in IMAGES),
    ]
    found = {hit for text in texts for hit in re.findall(r"\b(controller|gateway|webui):(\d{4,5})\b", text)}
    assert {name for name, _ in found} == {"controller", "gateway", "webui"}
    for name, port in found:
        assert int(port) == ports[name]
    prometheus = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (scrape,) = prometheus["scrape_configs"][0]["dns_sd_configs"]
    assert (scrape["names"], scrape["port"]) == (["gateway"], ports["gateway"])


def test_every_value_of_compose_stands_in_env_example_and_the_other_way_round() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    example = (DOCKER / ".env.example").read_text(encoding="utf-8")
    documented = re.findall(r"^#?([A-Z][A-Z_0-9]+)=", example, re.MULTILINE)
    assert sorted(documented) == sorted(used | {"COMPOSE_PROJECT_NAME"})
    for name, default in re.findall(r"^#([A-Z_0-9]+)=(.*)$", example, re.MULTILINE):
        in_compose = re.search(rf"\$\{{{name}:-([^}}]+)\}}", text)
        if in_compose and name not in ("KODOLLY_MODEL", "KODOLLY_MODEL_NAME", "KODOLLY_SITE"):
            assert in_compose[1] == default or name == "KODOLLY_GATEWAY_DATABASE_URL", name


def test_profiles_are_those_that_env_example_tells_of() -> None:
    example = (DOCKER / ".env.example").read_text(encoding="utf-8")
    told = set(re.findall(r"^#   (\w+) {2,}", example, re.MULTILINE))
    assert told == {name for service in SERVICES.values() for name in service.get("profiles", ())} | {
        "openai"
    }
    assert "COMPOSE_PROFILES=demo\n" in example


def test_who_is_waited_for_exists_and_says_that_it_is_well() -> None:
    for service in SERVICES.values():
        waits = service.get("depends_on", {})
        for other, wish in waits.items() if isinstance(waits, dict) else []:
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other] or "build" in SERVICES[other]
            # What belongs to a profile is waited for by that profile alone.
            assert set(service.get("profiles", ())) <= set(
                SERVICES[other].get("profiles", ())
            ) or not SERVICES[other].get("profiles")


def test_containers_get_longer_to_stop_than_running_answers_to_end() -> None:
    for service in OWN.values():
        for name, value in environment(service).items():
            if name.endswith("DRAIN_TIMEOUT_S"):
                assert seconds(service["stop_grace_period"]) > int(value)
    caddy = (DOCKER / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    grace = re.search(r"grace_period (\w+)", caddy)
    assert grace
    assert seconds(SERVICES["proxy"]["stop_grace_period"]) > seconds(grace[1])


def test_volumes_are_declared_files_exist_and_state_lies_in_volumes() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = interpolate(mount, {}).split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source
    mounted = {mount.split(":")[1] for mount in SERVICES["gateway"]["volumes"]}
    assert mounted == {"/var/lib/kodolly", "/var/backups/kodolly"}
    url = interpolate(environment(SERVICES["gateway"])["KODOLLY_GATEWAY_DATABASE_URL"], {})
    assert url == "sqlite:////var/lib/kodolly/kodolly.db"
    assert environment(SERVICES["gateway"]).keys() >= {"KODOLLY_JOIN_TOKEN", "OPENAI_API_KEY"}


# Images


def instructions(image: str) -> Iterator[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined."""
    text = (DOCKER / f"{image}.Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfiles_keep_the_rules(image: str) -> None:
    found = list(instructions(image))
    last_stage = found[max(i for i, (word, _) in enumerate(found) if word == "FROM") :]
    assert ("ARG", "BASE=python:3.11-slim-bookworm") in found
    assert [rest for word, rest in last_stage if word == "USER"] == ["kodolly"]
    assert [word for word, _ in last_stage].count("HEALTHCHECK") == 1
    assert not any(word in ("ADD", "MAINTAINER", "VOLUME") for word, _ in found)
    for word, rest in found:
        if word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)
        if word in ("ENV", "ARG"):
            assert not re.search(r"TOKEN|PASSWORD|SECRET|API_KEY", rest)
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists" in rest
        if word == "RUN":
            assert "sudo" not in rest
            assert "curl" not in rest
    # Dependencies come from the image's own lock, before the sources: a change of code builds in seconds.
    copies = [rest for word, rest in found if word == "COPY"]
    assert copies[0].startswith(f"locks/{image}.txt ")
    assert any(f"-r /build/{image}.txt" in rest for word, rest in found if word == "RUN")
    assert "--from=own /build/own /srv/kodolly" in copies


@pytest.mark.parametrize("image", IMAGES)
def test_images_listen_and_are_looked_at_where_the_code_does(image: str) -> None:
    found = list(instructions(image))
    environment_of = " ".join(rest for word, rest in found if word == "ENV")
    exposed = {int(port) for word, rest in found if word == "EXPOSE" for port in rest.split()}
    part = json.loads(next(rest for word, rest in reversed(found) if word == "CMD"))[0]
    parts = {"gateway": ("gateway", "controller")}.get(image, (part,))
    assert exposed == {PARTS[name].model_fields["port"].default for name in parts}
    for name in re.findall(r"(KODOLLY_\w+)=", environment_of):
        assert any(name in variables(part) for part in parts), name
    # Wildcard, or nobody outside the container could connect.
    assert environment_of.count("_HOST=0.0.0.0") == len(parts)
    probe = next(rest for word, rest in found if word == "HEALTHCHECK")
    port, path = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", probe)[0]
    assert int(port) in exposed
    assert path == ("/health" if image.startswith("worker") else "/healthz")


def test_the_build_context_has_what_the_wheel_needs_and_nothing_private() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert allowed == packages | {"pyproject.toml", "README.md", "LICENSE", "locks", "docker/entrypoint"}
    assert not any(
        fnmatch(secret, rule) for secret in (".env", ".kodolly", "docker/.env") for rule in allowed
    )


@pytest.mark.parametrize(
    ("image", "extras"),
    [
        ("gateway", ("postgres", "tracing")),
        ("webui", ("webui",)),
        ("worker-cpu", ("worker-cpu", "finetune", "merge")),
        ("worker-gpu", ("worker", "finetune", "merge")),
    ],
)
def test_locks_pin_all_that_an_image_needs(image: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for e in extras for d in project["optional-dependencies"][e])]
    pinned = pins(image)
    for dependency in wanted:
        name = re.split(r"[\[<>=!~;, ]", dependency)[0].lower().replace("_", "-")
        assert name in pinned, f"{name}: run scripts/lock"
    assert ("torch" in pinned) == image.startswith("worker")
    if image != "worker-gpu":  # CUDA builds have pins of their own
        tested = pins("test")
        different = {n: (v, tested[n]) for n, v in pinned.items() if n in tested and tested[n] != v}
        assert different == {}, "run scripts/lock"


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_the_entrypoint_asks_doctor_of_each_part_and_is_a_script_that_runs() -> None:
    entrypoint = DOCKER / "entrypoint"
    assert entrypoint.stat().st_mode & 0o111
    assert subprocess.run(["sh", "-n", str(entrypoint)]).returncode == 0
    text = entrypoint.read_text(encoding="utf-8")
    asked = re.search(r"^  (controller.*)\)$", text, re.MULTILINE)
    assert asked
    (option,) = (p for p in doctor.params if p.name == "part")
    assert asked[1].split(" | ") == list(cast(click.Choice[str], option.type).choices)
    assert "KODOLLY_WORKER_ADVERTISE_URL" in variables("worker")
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


# Prometheus, Grafana, Caddy


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


def test_the_public_port_offers_every_inference_route_and_no_administration() -> None:
    caddy = (DOCKER / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    matcher = re.search(r"@api path (.*)", caddy)
    assert matcher
    patterns = matcher[1].split()
    for path in [*ROUTES, "/v1/models", "/v1/responses/abc", "/docs", "/openapi.json"]:
        assert any(fnmatch(path, pattern) for pattern in patterns), path
    for path in ("/admin/keys", "/metrics", "/", "/chat", "/models"):
        assert not any(fnmatch(path, pattern) for pattern in patterns), path
    assert caddy.count("flush_interval -1") == 2


def test_caddy_takes_its_configuration() -> None:
    argv = [first_installed("caddy"), "validate", "--adapter", "caddyfile", "--config"]
    done = subprocess.run([*argv, str(DOCKER / "caddy" / "Caddyfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
