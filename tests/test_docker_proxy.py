"""The public port: what Caddy lets through."""

import re
import subprocess
from fnmatch import fnmatch

from server.routes import ROUTES
from tests.docker_files import DOCKER
from tests.programs import first_installed


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
