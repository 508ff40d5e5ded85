"""Dockerfiles, entrypoint and health check: they keep the rules, and agree with the code."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import click
import pytest

from kodolly.commands.doctor import command as doctor
from kodolly.operate.health import DOORS
from tests.support.docker_files import DOCKER, IMAGES, PARTS, ROOT, variables


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
    assert found.count(("ARG", "PIP_INDEX_URL")) == 2, "both stages that install take a mirror's address"
    assert found.count(("ARG", "UV_DEFAULT_INDEX=${PIP_INDEX_URL}")) == 2
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
    entrypoint = (DOCKER / "entrypoint").read_text(encoding="utf-8")
    for name in parts:
        assert f"KODOLLY_{name.upper()}_HOST:-$every" in entrypoint
        assert DOORS[name].port in exposed
        assert DOORS[name].path == ("/health" if name == "worker" else "/healthz")
    probe = next(rest for word, rest in found if word == "HEALTHCHECK")
    assert json.loads(probe.partition("CMD ")[2]) == ["kodolly", "health"]


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
        ("documents", ("documents",)),
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
        name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~;, ]", dependency)[0].lower())
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


@pytest.mark.parametrize(
    ("addresses", "every"),
    [(None, "0.0.0.0"), ("", "0.0.0.0"), ("00000000000000000000000000000001 01 80 10 80 lo\n", "::")],
)
def test_parts_listen_on_ipv6_where_the_container_has_an_address(
    tmp_path: Path, addresses: str | None, every: str
) -> None:
    """Docker's own networks give none, although the kernel's list of addresses is there, empty."""
    text = (DOCKER / "entrypoint").read_text(encoding="utf-8")
    listed = tmp_path / "if_inet6"
    if addresses is not None:
        listed.write_text(addresses, encoding="ascii")
    choice = text[text.index("every=") : text.index('case "$part"')].replace(
        "/proc/net/if_inet6", str(listed)
    )
    done = subprocess.run(["sh", "-euc", f"{choice}\necho $every"], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (every, "")


def test_the_entrypoint_asks_doctor_of_each_part_and_is_a_script_that_runs() -> None:
    entrypoint = DOCKER / "entrypoint"
    assert entrypoint.stat().st_mode & 0o111
    assert subprocess.run(["sh", "-n", str(entrypoint)]).returncode == 0
    text = entrypoint.read_text(encoding="utf-8")
    asked = re.search(r"^  (controller \|.*)\)$", text, re.MULTILINE)
    assert asked
    (option,) = (p for p in doctor.params if p.name == "part")
    assert asked[1].split(" | ") == list(cast(click.Choice[str], option.type).choices)
    assert "KODOLLY_WORKER_ADVERTISE_URL" in variables("worker")
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
