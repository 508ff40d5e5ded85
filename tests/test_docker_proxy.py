"""The public port: what Caddy lets through."""

import re
import select
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import httpx2

from server.client.routes import ROUTES
from tests.support.docker_files import DOCKER
from tests.support.processes import PATIENCE_S, free_port, running
from tests.support.programs import first_installed
from tests.support.worker_stage import scripted


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


@contextmanager
def caddy_in_front_of(gateway: int, directory: Path) -> Iterator[int]:
    """The port of a Caddy with our configuration, its names and places replaced by some of this machine."""
    public, health = free_port(), free_port()
    text = (DOCKER / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    for ours, here in (
        ("gateway:8000", f"127.0.0.1:{gateway}"),
        ("{$KODOLLY_SITE:localhost}", f"http://127.0.0.1:{public}"),
        ("http://127.0.0.1:2020", f"http://127.0.0.1:{health}"),
        ("/var/log/caddy", str(directory)),
    ):
        assert ours in text
        text = text.replace(ours, here)
    file = directory / "Caddyfile"
    file.write_text(text, encoding="utf-8")
    argv = [first_installed("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]
    environment = {"XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    with running(argv, directory / "caddy.log", f"http://127.0.0.1:{health}/", environment):
        yield public


def test_new_requests_wait_while_the_gateway_is_exchanged(tmp_path: Path) -> None:
    """Caddys older than the one in compose.yaml cannot do it for a body: they say when to try again."""
    port = free_port()
    with caddy_in_front_of(port, tmp_path) as public:
        with socket.create_connection(("127.0.0.1", public), timeout=PATIENCE_S) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            answered, _, _ = select.select([client], [], [], 1.0)
            assert not answered, client.recv(1000)
            url = f"http://127.0.0.1:{public}/v1/chat/completions"
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(httpx2.post, url, json={}, timeout=PATIENCE_S, trust_env=False)
                with running(scripted(port), tmp_path / "engine.log", f"http://127.0.0.1:{port}/health"):
                    assert client.recv(12).startswith(b"HTTP/1.1 ")
                    posted = asked.result()
    assert posted.status_code == 401 or (posted.status_code, posted.headers["retry-after"]) == (503, "5")


def test_caddy_takes_its_configuration() -> None:
    argv = [first_installed("caddy"), "validate", "--adapter", "caddyfile", "--config"]
    done = subprocess.run([*argv, str(DOCKER / "caddy" / "Caddyfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
