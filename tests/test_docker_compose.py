"""compose.yaml agrees with the code and with .env.example, and Compose takes it.

docker/test-compose runs what is only read here.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
import yaml

from common.settings import load_settings
from kodolly.cli import root
from kodolly.doctor.docker import interpolate
from tests.support.docker_files import (
    COMPOSE,
    COMPOSE_OWN,
    DOCKER,
    IMAGES,
    LIBRARIES,
    OWN,
    PARTS,
    PROFILES,
    SERVICES,
    environment,
    part_of,
    seconds,
    variables,
)
from tests.support.programs import absent, first_installed


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


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_confined_and_cannot_fill_the_disk(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}
    assert service["pids_limit"] > 0
    assert service.get("read_only", False) == (name != "grafana")
    assert "healthcheck" in service or "build" in service, "nobody sees when it hangs"


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


@pytest.mark.parametrize("name", [name for name in OWN if name != "demo-models"])
def test_each_part_starts_with_what_nobody_filled_in_left_empty(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = {"KODOLLY_JOIN_TOKEN": "token", "KODOLLY_DOCUMENTS_TOKEN": "token"}
    for variable, value in environment(OWN[name]).items():
        monkeypatch.setenv(variable, interpolate(value, filled))
    settings = load_settings(PARTS[part_of(OWN[name])])
    assert settings.log_format == "text"


def test_the_addresses_between_the_parts_lead_to_their_ports() -> None:
    ports = {name: settings.model_fields["port"].default for name, settings in PARTS.items()}
    texts = [
        (DOCKER / "compose.yaml").read_text(encoding="utf-8"),
        (DOCKER / "caddy" / "Caddyfile").read_text(encoding="utf-8"),
        (DOCKER / ".env.example").read_text(encoding="utf-8"),
        *((DOCKER / f"{image}.Dockerfile").read_text(encoding="utf-8") for image in IMAGES),
    ]
    found = {
        hit
        for text in texts
        for hit in re.findall(r"\b(controller|gateway|documents|webui):(\d{4,5})\b", text)
    }
    assert {name for name, _ in found} == {"controller", "gateway", "documents", "webui"}
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


def test_a_companys_proxy_stands_between_the_gateway_and_providers_alone() -> None:
    """Docker hands it to each container; what of others asks our parts or each other must go past it."""
    told = {name for name, service in SERVICES.items() if "HTTPS_PROXY" in environment(service)}
    assert told == {"gateway"}
    caddy = (DOCKER / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    sources = DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    asks = {
        "proxy": re.findall(r"reverse_proxy (\w+):", caddy),
        "grafana": [urlsplit(yaml.safe_load(sources.read_text())["datasources"][0]["url"]).hostname],
    }
    for name, others in asks.items():
        assert environment(SERVICES[name])["NO_PROXY"].split(",") == others


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
    documents = {mount.split(":")[1] for mount in SERVICES["documents"]["volumes"]}
    assert documents == {"/var/lib/kodolly", "/var/backups/kodolly"}
    url = interpolate(environment(SERVICES["gateway"])["KODOLLY_GATEWAY_DATABASE_URL"], {})
    assert url == "sqlite:////var/lib/kodolly/kodolly.db"
    assert environment(SERVICES["gateway"]).keys() >= {"KODOLLY_JOIN_TOKEN", "OPENAI_API_KEY"}
