"""`kodolly doctor --docker` and `--part`: what is wrong before anything starts, and how to mend it."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from kodolly.commands.doctor import command
from kodolly.doctor.docker import examine_docker, interpolate
from kodolly.doctor.doctor import Finding
from kodolly.doctor.parts import examine_part, gpu, memory
from tests.support.processes import free_port

DOCKER = Path(__file__).parents[1] / "docker"
GIB = 1024**3


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of docker/ without .env; nothing of it is set in the environment, and no engine answers."""
    for name in ("compose.yaml", ".env.example"):
        shutil.copy(DOCKER / name, tmp_path / name)
    for name in os.environ:
        if name.startswith(("KODOLLY_", "OPENAI_", "POSTGRES_", "GRAFANA_", "COMPOSE_")) or "_PROXY" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def fill_in(directory: Path, **values: object) -> None:
    ports = {f"KODOLLY_{name}": free_port() for name in ("PORT", "UI_PORT", "HTTP_PORT", "HTTPS_PORT")}
    ports |= {name: free_port() for name in ("PROMETHEUS_PORT", "GRAFANA_PORT")}
    lines = [f"{name}={value}\n" for name, value in (ports | values).items()]
    (directory / ".env").write_text("".join(lines), encoding="utf-8")


def docker_says(directory: Path, memory_gib: int = 64, runtimes: tuple[str, ...] = ("runc",)) -> None:
    """Put a `docker` in PATH that knows the engine's facts."""
    facts = {
        "ServerVersion": "28.0",
        "MemTotal": memory_gib * GIB,
        "Runtimes": {name: {} for name in runtimes},
        "DockerRootDir": str(directory),
    }
    (directory / "info.json").write_text(json.dumps(facts), encoding="utf-8")
    program = directory / "bin" / "docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        f"""#!/bin/sh
case "$1" in
compose) echo 2.40.0 ;;
info) /bin/cat {directory}/info.json ;;
esac
""",
        encoding="utf-8",
    )
    program.chmod(0o755)


def failures(directory: Path) -> dict[str, Finding]:
    return {f.what: f for f in examine_docker(directory) if f.level == "fail"}


def test_a_fresh_checkout_is_told_what_to_fill_in_and_how(directory: Path) -> None:
    found = {finding.what: finding for finding in examine_docker(directory)}
    assert ".env.example" in found[".env"].fix
    assert found["KODOLLY_JOIN_TOKEN"].level == "fail"
    assert "KODOLLY_JOIN_TOKEN=" in found["KODOLLY_JOIN_TOKEN"].fix
    assert found["engine"].level == "fail"
    assert "install" in found["engine"].fix


def test_a_filled_in_stack_on_a_large_machine_is_well(directory: Path) -> None:
    fill_in(directory, KODOLLY_JOIN_TOKEN="t" * 64, COMPOSE_PROFILES="demo")
    docker_says(directory)
    assert failures(directory).keys() <= {"disk"}  # the disk of the machine that tests is what it is


@pytest.mark.parametrize(
    ("profile", "values", "missing"),
    [
        ("openai", {}, {"OPENAI_API_KEY"}),
        ("monitoring", {}, {"GRAFANA_PASSWORD"}),
        ("postgres", {"POSTGRES_PASSWORD": "p"}, {"KODOLLY_GATEWAY_DATABASE_URL"}),
        ("demo,postgres", {}, {"POSTGRES_PASSWORD", "KODOLLY_GATEWAY_DATABASE_URL"}),
        ("cpu", {"KODOLLY_MODELS": "./models-that-are-not-there"}, {"KODOLLY_MODELS"}),
        ("dmeo", {}, {"COMPOSE_PROFILES"}),
    ],
)
def test_each_profile_names_the_values_it_needs(
    directory: Path, profile: str, values: dict[str, str], missing: set[str]
) -> None:
    fill_in(directory, KODOLLY_JOIN_TOKEN="t" * 64, COMPOSE_PROFILES=profile, **values)
    docker_says(directory)
    assert failures(directory).keys() - {"disk"} == missing


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"KODOLLY_PORT": "abc"}, "KODOLLY_PORT"),
        ({"KODOLLY_UI_PORT": "70000"}, "KODOLLY_UI_PORT"),
        ({"KODOLLY_BIND": "everywhere"}, "KODOLLY_BIND"),
        ({"KODOLLY_JOIN_TOKEN": "changeme"}, "KODOLLY_JOIN_TOKEN"),
        ({"KODOLLY_JOIN_TOKEN": "a1b2c3"}, "KODOLLY_JOIN_TOKEN"),
        ({"KODOLLY_API_KEY": "'" + "k" * 30 + '"' + "'"}, "KODOLLY_API_KEY"),
        ({"KODOLLY_API_KEY": "열쇠" * 10}, "KODOLLY_API_KEY"),
        ({"KODOLLY_API_KEY": "'two words of a long pass phrase'"}, "KODOLLY_API_KEY"),
        ({"COMPOSE_PROFILES": "cpu", "KODOLLY_MODELS": "mymodels"}, "KODOLLY_MODELS"),
        ({"COMPOSE_PROFILES": "cpu", "KODOLLY_MODELS": ".", "KODOLLY_MODEL": "/models/no"}, "KODOLLY_MODEL"),
        ({"KODOLLY_MODEL": "my-dolly"}, "KODOLLY_MODEL"),
        ({"KODOLLY_GPU_IDS": "0,0"}, "KODOLLY_GPU_IDS"),
        ({"KODOLLY_WORKER_FLAGS": '--x "y'}, "KODOLLY_WORKER_FLAGS"),
        ({"HTTPS_PROXY": "socks5://proxy.corp.example:1080"}, "HTTPS_PROXY"),
        ({"HTTP_PROXY": "http://proxy.corp.example:3128/path"}, "HTTP_PROXY"),
        ({"KODOLLY_WORKER_MEMORY": "much"}, "KODOLLY_WORKER_MEMORY"),
        (
            {
                "COMPOSE_PROFILES": "postgres",
                "POSTGRES_PASSWORD": "p" * 32,
                "KODOLLY_GATEWAY_DATABASE_URL": "postgresql://kodolly:other@postgres/kodolly",
            },
            "KODOLLY_GATEWAY_DATABASE_URL",
        ),
    ],
)
def test_each_wrong_value_is_a_finding_without_a_traceback(
    directory: Path, values: dict[str, str], what: str
) -> None:
    fill_in(directory, **({"KODOLLY_JOIN_TOKEN": "7" * 64, "COMPOSE_PROFILES": "demo"} | values))
    docker_says(directory)
    assert failures(directory).keys() - {"disk"} == {what}


def test_a_proxys_password_is_not_shown(directory: Path) -> None:
    fill_in(directory, KODOLLY_JOIN_TOKEN="7" * 64, HTTPS_PROXY="user:hunter2@proxy.corp.example:x")
    docker_says(directory)
    found = failures(directory)["HTTPS_PROXY"].found
    assert "hunter2" not in found
    assert "proxy.corp.example" in found


def test_two_services_on_one_port_are_both_named(directory: Path) -> None:
    port = free_port()
    fill_in(directory, KODOLLY_JOIN_TOKEN="7" * 64, KODOLLY_PORT=port, KODOLLY_UI_PORT=port)
    docker_says(directory)
    found = failures(directory)[f"port {port}"].found
    assert "gateway" in found
    assert "webui" in found


def test_a_taken_port_is_named_with_the_variable_that_changes_it(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        fill_in(directory, KODOLLY_JOIN_TOKEN="t" * 64, COMPOSE_PROFILES="demo", KODOLLY_PORT=port)
        docker_says(directory)
        found = failures(directory)[f"port {port}"]
    assert "gateway" in found.found
    assert "KODOLLY_PORT" in found.fix


def test_too_little_memory_and_a_missing_gpu_runtime_are_failures(directory: Path) -> None:
    fill_in(directory, KODOLLY_JOIN_TOKEN="t" * 64, COMPOSE_PROFILES="gpu")
    docker_says(directory, memory_gib=4)
    found = failures(directory)
    assert "4 GiB" in found["memory"].found
    assert "nvidia-ctk" in found["GPU"].fix
    docker_says(directory, runtimes=("runc", "nvidia"))
    assert failures(directory).keys() <= {"disk"}


def test_interpolation_is_that_of_compose() -> None:
    values = {"SET": "a", "EMPTY": ""}
    assert interpolate("${SET:-b}/${EMPTY:-c}/${GONE:-d}/${GONE}", values) == "a/c/d/"


def test_the_command_prints_only_trouble_when_quiet_and_fails(directory: Path) -> None:
    done = CliRunner().invoke(command, ["--docker", str(directory), "--quiet"])
    assert done.exit_code == 1
    assert "KODOLLY_JOIN_TOKEN" in done.output
    assert "ok  " not in done.output
    assert CliRunner().invoke(command, ["--docker", str(directory / "bin")]).exit_code != 0


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("KODOLLY_", "OPENAI_", "COMPOSE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    for part in ("GATEWAY", "CONTROLLER", "WEBUI", "WORKER"):
        monkeypatch.setenv(f"KODOLLY_{part}_PORT", str(free_port()))
    return monkeypatch


def trouble(part: str) -> str:
    return "\n".join(f"{f.what}: {f.found} -> {f.fix}" for f in examine_part(part) if f.level == "fail")


@pytest.mark.parametrize("part", ["controller", "gateway", "worker"])
def test_parts_without_a_join_token_say_where_it_belongs(container: pytest.MonkeyPatch, part: str) -> None:
    assert "KODOLLY_JOIN_TOKEN" in trouble(part)
    container.setenv("KODOLLY_JOIN_TOKEN", "t" * 64)
    assert "KODOLLY_JOIN_TOKEN" not in trouble(part)


def test_a_setting_that_cannot_be_read_is_a_finding_not_a_traceback(container: pytest.MonkeyPatch) -> None:
    container.setenv("KODOLLY_WEBUI_PORT", "siebenacht")
    assert "webui.port" in trouble("webui")


def test_profiles_and_values_that_contradict_each_other_stop_the_gateway(
    container: pytest.MonkeyPatch,
) -> None:
    container.setenv("KODOLLY_JOIN_TOKEN", "t" * 64)
    container.setenv("COMPOSE_PROFILES", "openai,postgres")
    container.setenv("KODOLLY_GATEWAY_DATABASE_URL", "sqlite+aiosqlite:////var/lib/kodolly/kodolly.db")
    found = trouble("gateway")
    assert "OPENAI_API_KEY" in found
    assert "KODOLLY_GATEWAY_DATABASE_URL" in found
    container.setenv("OPENAI_API_KEY", "sk-test")
    container.setenv("COMPOSE_PROFILES", "openai")
    assert trouble("gateway") == ""


def test_a_database_url_that_is_none_is_a_finding(container: pytest.MonkeyPatch) -> None:
    container.setenv("KODOLLY_JOIN_TOKEN", "t" * 64)
    container.setenv("KODOLLY_GATEWAY_DATABASE_URL", "postgres, please")
    assert "KODOLLY_GATEWAY_DATABASE_URL" in trouble("gateway")


def test_more_memory_than_there_is_fails_with_the_figure() -> None:
    found = memory(2**60)
    assert found.level == "fail"
    assert "GiB" in found.found


def test_a_taken_port_stops_the_part(container: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        container.setenv("KODOLLY_WEBUI_PORT", str(holder.getsockname()[1]))
        assert "taken" in trouble("webui")


def test_a_container_without_a_gpu_says_what_to_install() -> None:
    if any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    found = gpu()
    assert found.level == "fail"
    assert "nvidia-ctk" in found.fix
    assert "COMPOSE_PROFILES=demo" in found.fix
