"""`kodolly health`: what a container's health check says, whatever proxy the container was given."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from common.errors import UserError
from common.settings import load_settings
from kodolly.operate.health import DOORS, container_url, problem
from tests.support.docker_files import PARTS
from tests.support.processes import free_port, kodolly, running
from tests.support.quiet_handler import QuietHandler, answering
from worker.settings import WorkerSettings

DEAD_PROXY = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")


@pytest.fixture
def server() -> Iterator[str]:
    class Answer(QuietHandler):
        def do_GET(self) -> None:
            self.answer(status=200 if self.path == "/healthz" else 503)

    with answering(HTTPServer(("127.0.0.1", 0), Answer)) as url:
        yield url


def test_the_command_goes_past_a_proxy_that_is_dead(server: str) -> None:
    env = os.environ | DEAD_PROXY
    argv = [*kodolly("health"), f"{server}/healthz"]
    assert subprocess.run(argv, env=env).returncode == 0
    done = subprocess.run([*kodolly("health"), f"{server}/else"], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"{server}/else answers 503\n")


def test_what_does_not_answer_and_what_is_no_url(server: str) -> None:
    url = f"http://127.0.0.1:{free_port()}/healthz"
    assert "does not answer" in (problem(url) or "")
    assert problem(f"{server}/healthz") is None
    for wrong in ("gateway", "ftp://x", "http://", "http://x:99999"):
        with pytest.raises(UserError, match="no URL"):
            problem(wrong)


def test_doors_are_those_of_the_settings() -> None:
    assert {name: door.port for name, door in DOORS.items()} == {
        name: settings.model_fields["port"].default for name, settings in PARTS.items()
    }


@pytest.mark.parametrize(
    ("words", "environ", "url"),
    [
        ("/sbin/docker-init -- kodolly-entrypoint gateway", {}, "http://127.0.0.1:8000/healthz"),
        ("python /srv/kodolly/bin/kodolly controller", {}, "http://127.0.0.1:21001/healthz"),
        ("kodolly gateway --port 8080 --port=8081", {}, "http://127.0.0.1:8081/healthz"),
        ("kodolly gateway", {"KODOLLY_GATEWAY_PORT": "8090"}, "http://127.0.0.1:8090/healthz"),
        ("kodolly webui --host 10.0.0.3", {}, "http://10.0.0.3:7860/healthz"),
        ("kodolly gateway --host ::1", {}, "http://[::1]:8000/healthz"),
        ("kodolly webui", {"KODOLLY_WEBUI_HOST": "::"}, "http://127.0.0.1:7860/healthz"),
        ("kodolly worker /models/x --name gateway -- --port 1", {}, "http://127.0.0.1:21002/health"),
    ],
)
def test_a_container_asks_the_part_it_was_started_as(
    words: str, environ: dict[str, str], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = tmp_path / "cmdline"
    first.write_bytes(words.replace(" ", "\0").encode() + b"\0")
    assert container_url(environ, first)[1] == url


def test_a_settings_file_in_the_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kodolly.yaml").write_text("gateway: {port: 8123}\n", encoding="utf-8")
    first = tmp_path / "cmdline"
    first.write_bytes(b"kodolly\0gateway\0")
    assert container_url({}, first)[1] == "http://127.0.0.1:8123/healthz"
    first.write_bytes(b"kodolly\0keys\0list\0")
    with pytest.raises(UserError, match="runs no part"):
        container_url({}, first)


def test_the_entrypoint_starts_a_static_gateway_without_a_token_under_a_dead_proxy(tmp_path: Path) -> None:
    """As `docker run kodolly-gateway gateway --static NAME=URL` does; it answers over IPv4 and IPv6."""
    entrypoint = Path(__file__).parents[1] / "docker" / "entrypoint"
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("KODOLLY_")} | DEAD_PROXY
    env |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "KODOLLY_STATE_DIR": str(tmp_path)}
    argv = [
        "env",
        "-i",
        *(f"{name}={value}" for name, value in env.items()),
        "sh",
        str(entrypoint),
        "gateway",
    ]
    argv += ["--port", str(port), "--static", "my-model=http://127.0.0.1:9"]
    with running(argv, tmp_path / "gateway.log", f"http://127.0.0.1:{port}/healthz", cwd=tmp_path):
        assert problem(f"http://127.0.0.1:{port}/healthz") is None
        if Path("/proc/net/if_inet6").exists() and "00000000000000000000000000000001" in Path(
            "/proc/net/if_inet6"
        ).read_text(encoding="ascii"):
            assert problem(f"http://[::1]:{port}/healthz") is None
    log = (tmp_path / "gateway.log").read_text(encoding="utf-8")
    assert "listening on http://[::]:" in log or "listening on http://0.0.0.0:" in log


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://fd00::5:21002", "http://[fd00::5]:21002"),  # what $(POD_IP) makes of an IPv6 cluster
        ("http://2001:db8:0:0:1:0:0:1:21002", "http://[2001:db8::1:0:0:1]:21002"),
        ("http://[fd00::5]:21002", "http://[fd00::5]:21002"),
        ("http://10.0.0.5:21002/", "http://10.0.0.5:21002"),
    ],
)
def test_a_worker_may_be_advertised_at_an_ipv6_address(given: str, url: str) -> None:
    settings = load_settings(WorkerSettings, {"join_token": "t", "advertise_url": given})
    assert settings.url() == url


def test_an_ipv6_address_without_a_port_is_refused() -> None:
    with pytest.raises(UserError, match=r"\[fd00::7\]:21002"):
        load_settings(WorkerSettings, {"join_token": "t", "advertise_url": "http://fd00::zz:21002"})


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_worker_asks_its_engine_where_every_container_has_an_address(host: str) -> None:
    """::1 is not there in a container of a network without IPv6: such a worker was never ready."""
    settings = load_settings(WorkerSettings, {"join_token": "t", "host": host, "port": 21002})
    assert settings.local_url() == "http://127.0.0.1:21002"


@pytest.mark.parametrize("part", ["controller", "gateway"])
def test_load_balancers_may_ask_with_head_and_options(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    factory = importlib.import_module(f"{PARTS[part].__module__.partition('.')[0]}.app").create_app
    alone: dict[str, Any] = {"controllers": ()} if part == "gateway" else {}
    settings = PARTS[part].model_validate({"join_token": "t" * 32, **alone})
    with TestClient(factory(settings), base_url="http://127.0.0.1") as client:
        for method, status in (("GET", 200), ("HEAD", 200), ("OPTIONS", 204)):
            assert client.request(method, "/healthz").status_code == status, method
