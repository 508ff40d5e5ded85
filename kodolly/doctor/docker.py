"""`kodolly doctor --docker DIRECTORY`: can `docker compose up` in that directory work on this machine?"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values

from common.errors import UserError
from common.serve import check_port
from common.yaml_text import BrokenYaml, parse_yaml
from kodolly.doctor.docker_env import BIND, PORT, examine_values
from kodolly.doctor.doctor import GIB, Finding

DISK_BYTES = {"gpu": 40 * GIB, "": 12 * GIB}
"""Images and models by profile."""
MEMORY_BYTES = {"gpu": 16 * GIB, "demo": 8 * GIB, "": 2 * GIB}
NVIDIA_FIX = (
    "install NVIDIA's container toolkit, run `nvidia-ctk runtime configure --runtime=docker`, restart Docker"
)
REQUIRED = re.compile(r"\$\{(\w+):\?")
COMPOSE = (["docker", "compose", "version", "--short"], ["docker-compose", "version", "--short"])
OLDEST_COMPOSE = (1, 29)
OF_COMPOSE = {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}


def examine_docker(directory: Path) -> Iterator[Finding]:
    """Whether compose.yaml in `directory` can run here. Raises UserError when there is none."""
    file = directory / "compose.yaml"
    try:
        text = file.read_text(encoding="utf-8")
        services = parse_yaml(text)["services"]
    except (OSError, BrokenYaml, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read.", hint="Name the directory of compose.yaml.") from error
    values = _environment(directory / ".env")
    known = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | OF_COMPOSE
    profiles = set((values.get("COMPOSE_PROFILES") or "").replace(" ", "").split(",")) - {""}
    yield from _values(directory, text, services, profiles, values)
    own = {name: value for name, value in values.items() if name not in os.environ or name in known}
    yield from examine_values(directory, known, profiles, own)
    yield from _ports(services, profiles, values)
    yield _compose()
    engine = _engine()
    if engine is None:
        fix = "install and start Docker (Debian and Ubuntu: apt-get install docker.io), and join its group"
        yield Finding("fail", "engine", "no Docker engine answers", fix)
        return
    yield Finding("ok", "engine", f"Docker {engine.get('ServerVersion', '?')}")
    yield from _resources(engine, profiles)


def _environment(file: Path) -> dict[str, str | None]:
    """`file` below this process's environment, as Compose takes them. Raises UserError."""
    try:
        return dict(dotenv_values(file)) | dict(os.environ)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} cannot be read: {error}.", hint="It must be a text file in UTF-8."
        ) from error


def _values(
    directory: Path,
    text: str,
    services: Mapping[str, dict[str, object]],
    profiles: set[str],
    values: Mapping[str, str | None],
) -> Iterator[Finding]:
    if not (directory / ".env").is_file():
        fix = f"cp {directory}/.env.example {directory}/.env and fill it in"
        yield Finding("warn", ".env", f"{directory}/.env does not exist", fix)
    known = {str(name) for service in services.values() for name in _list(service.get("profiles"))}
    for profile in sorted(profiles - known - {"openai"}):
        fix = f"known: {', '.join(sorted(known | {'openai'}))}"
        yield Finding("fail", "COMPOSE_PROFILES", f"there is no profile {profile!r}", fix)
    needed = set(REQUIRED.findall(text))
    if "openai" in profiles:
        needed.add("OPENAI_API_KEY")
    if "postgres" in profiles:
        needed |= {"POSTGRES_PASSWORD", "KODOLLY_GATEWAY_DATABASE_URL"}
    if "monitoring" in profiles:
        needed.add("GRAFANA_PASSWORD")
    for name in sorted(needed):
        if (values.get(name) or "").strip():
            yield Finding("ok", name, "set")
        else:
            fix = f"put {name}=... into {directory}/.env; .env.example says what it is"
            yield Finding("fail", name, "not set", fix)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _ports(
    services: Mapping[str, dict[str, object]], profiles: set[str], values: Mapping[str, str | None]
) -> Iterator[Finding]:
    """Published ports are free, or held by the stack itself, and no two services want the same."""
    taken: dict[tuple[str, int], str] = {}
    for service, definition in services.items():
        wanted = {str(name) for name in _list(definition.get("profiles"))}
        if wanted and not wanted & profiles:
            continue
        for published in _list(definition.get("ports")):
            host, _, port = interpolate(str(published), values).rpartition(":")[0].rpartition(":")
            names = re.findall(r"\$\{(\w+)", str(published))
            setting = names[-1] if names else ""
            host = host.strip("[]") or "0.0.0.0"
            if not PORT[0](port) or not BIND[0](host):
                continue  # reported already as a value that cannot be used
            other = next((taken[at] for at in taken if at[1] == int(port) and _meet(at[0], host)), None)
            taken[host, int(port)] = service
            if other:
                fix = f"set {setting} to another port in .env"
                yield Finding("fail", f"port {port}", f"both {other} and {service} want it", fix)
            else:
                yield _published(service, host, int(port), setting)


def _meet(one: str, other: str) -> bool:
    """Whether two addresses to listen on exclude each other."""
    return one == other or bool({one, other} & {"0.0.0.0", "::"})


def interpolate(text: str, values: Mapping[str, str | None]) -> str:
    """Compose's `${NAME:-default}`, as far as compose.yaml uses it."""
    return re.sub(
        r"\$\{(\w+)(?::?[-?]([^}]*))?\}", lambda found: values.get(found[1]) or found[2] or "", text
    )


def _published(service: str, host: str, port: int, setting: str) -> Finding:
    try:
        check_port(host, port, setting)
    except UserError as error:
        if _own(service, port):
            return Finding("ok", f"port {port}", f"held by {service} of this stack")
        fix = f"stop that program, or set {setting} to another port in .env"
        return Finding("fail", f"port {port}", f"{service} cannot have it: {error.message}", fix)
    return Finding("ok", f"port {port}", f"free for {service}")


def _own(service: str, port: int) -> bool:
    label = f"label=com.docker.compose.service={service}"
    return bool(_run(["docker", "ps", "-q", "--filter", label, "--filter", f"publish={port}"]))


def _compose() -> Finding:
    for argv in COMPOSE:
        version = (_run(argv) or "").strip().lstrip("v")
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
        if numbers >= OLDEST_COMPOSE:
            return Finding("ok", "Compose", f"{' '.join(argv[:-2])} {version}")
        if numbers:
            return Finding("fail", "Compose", f"{version} is too old", "install Compose v2, or 1.29")
    return Finding("fail", "Compose", "not found", "install Docker's Compose plugin")


def _engine() -> dict[str, object] | None:
    text = _run(["docker", "info", "--format", "{{json .}}"])
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.get("ServerVersion") else None


def _resources(engine: Mapping[str, object], profiles: set[str]) -> Iterator[Finding]:
    if "gpu" in profiles and "nvidia" not in str(engine.get("Runtimes", "")):
        yield Finding("fail", "GPU", "Docker has no NVIDIA runtime", NVIDIA_FIX)
    needed = max(size for profile, size in MEMORY_BYTES.items() if profile in profiles | {""})
    size = int(str(engine.get("MemTotal", 0)))
    if 0 < size < needed:
        fix = (
            f"{needed // GIB} GiB are wanted: take profiles out of COMPOSE_PROFILES, or use a larger machine"
        )
        yield Finding("fail", "memory", f"the machine has {size / GIB:.0f} GiB", fix)
    else:
        yield Finding("ok", "memory", f"{size / GIB:.0f} GiB")
    disk = Path(str(engine.get("DockerRootDir", "")))
    if disk.is_dir():
        free, wanted = shutil.disk_usage(disk).free, DISK_BYTES["gpu" if "gpu" in profiles else ""]
        if free < wanted:
            fix = f"free {wanted // GIB} GiB; `docker system prune` removes what nothing uses"
            yield Finding("fail", "disk", f"{free / GIB:.0f} GiB free in {disk}", fix)
        else:
            yield Finding("ok", "disk", f"{free / GIB:.0f} GiB free in {disk}")


def _run(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
