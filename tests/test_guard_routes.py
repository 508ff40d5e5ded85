"""Every route of gateway and controller, walked: strangers learn nothing, and nobody reads their bodies."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from server.client.routes import ROUTES
from tests.support.conformance.wire import Answer, request, talk
from tests.support.gateway_stack import TOKEN
from tests.support.processes import NO_ENGINE, PATIENCE_S, free_port, kodolly, running, scripted_engine

ADMIN = "admin-token"
PUBLIC = {("GET", "/healthz"), ("GET", "/metrics")}
"""Of what the OpenAPI documents show. Nothing else may be had without a key."""
BODY = 200_000
"""Below the caps of all routes: it would be waited for if anybody read it."""


@dataclass(frozen=True)
class Site:
    """A gateway with keys and a controller."""

    gateway: str
    controller: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cwd = tmp_path_factory.mktemp("guard")
    gateway, controller = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    env = {
        "KODOLLY_STATE_DIR": str(cwd / "state"),
        "KODOLLY_ADMIN_TOKEN": ADMIN,
        "KODOLLY_JOIN_TOKEN": TOKEN,
        "KODOLLY_GATEWAY_REQUIRE_KEYS": "true",
    }
    with ExitStack() as stack:
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2])
        for name in ("dolly", "secret-model"):
            argv += ["--static", f"{name}={stack.enter_context(scripted_engine(cwd, name))}"]
        stack.enter_context(running(argv, cwd / "gateway.log", f"{gateway}/healthz", env, cwd))
        argv = kodolly("controller", "--port", controller.rpartition(":")[2])
        stack.enter_context(running(argv, cwd / "controller.log", f"{controller}/healthz", env, cwd))
        yield Site(gateway, controller)


def routes(url: str) -> set[tuple[str, str]]:
    """Method and path of all that is documented."""
    paths = httpx2.get(f"{url}/openapi.json", trust_env=False).raise_for_status().json()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def ask(url: str, method: str, path: str, *headers: str, half_close: bool = False) -> Answer:
    """Announce a body, send none of it, and read the answer."""
    concrete = re.sub(r"{[^}]+}", "00000000-0000-4000-8000-000000000000", path)
    kind = "Content-Type: application/json"
    head = request(url, method, concrete, [f"Content-Length: {BODY}", kind, *headers])
    (answer,) = talk(url, head)
    return answer


@pytest.mark.parametrize("part", ["gateway", "controller"])
def test_no_route_reads_what_strangers_send(site: Site, part: str) -> None:
    url = getattr(site, part)
    walked = routes(url)
    assert len(walked) >= {"gateway": 30, "controller": 8}[part]
    assert {path for _, path in walked} >= (set(ROUTES) if part == "gateway" else {"/v1/watch"})
    for method, path in sorted(walked - PUBLIC):
        for headers in ([], ["Authorization: Bearer wrong"]):
            answer = ask(url, method, path, *headers)
            assert answer.status == 401, (method, path)
            assert answer.header("connection") == "close"
            assert answer.header("x-should-retry") == "false"
    assert ask(url, "PUT", "/no/such/route").status == 401


def test_what_everybody_may_see_is_a_list(site: Site) -> None:
    """A new route is closed; whoever opens one says so here."""
    for url in (site.gateway, site.controller):
        open_to_all = {
            (method, path)
            for method, path in routes(url)
            if method == "GET" and httpx2.get(url + path, trust_env=False).status_code == 200
        }
        assert open_to_all <= PUBLIC


def test_a_client_that_is_still_sending_reads_why_it_is_refused(site: Site) -> None:
    """httpx and others send the whole body first: a reset in the middle would be all that they see."""
    content = json.dumps({"model": "dolly", "x": "가" * 4_000_000}).encode()
    for path in ("/v1/chat/completions", "/v1/prompt", "/admin/keys"):
        target = urlsplit(site.gateway)
        with socket.create_connection(
            (target.hostname or "", target.port or 0), timeout=PATIENCE_S
        ) as client:
            length = f"Content-Length: {len(content)}"
            client.sendall(request(site.gateway, "POST", path, [length]) + content)
            told = b"".join(iter(lambda: client.recv(65536), b""))
        assert told.startswith(b"HTTP/1.1 401 "), path


def limited_key(site: Site, **limits: object) -> dict[str, str]:
    """The headers of a new key, in force."""
    admin = {"authorization": f"Bearer {ADMIN}"}
    made = httpx2.post(
        f"{site.gateway}/admin/keys", json={"name": "하나", **limits}, headers=admin, trust_env=False
    )
    return {"authorization": f"Bearer {made.json()['secret']}"}


def test_a_keys_models_hold_wherever_a_model_is_named(site: Site) -> None:
    key = limited_key(site, models=["dolly", "secret-modal"])

    def send(path: str, model: str) -> httpx2.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "안녕"}]}
        form = {"files": {"file": b"RIFF"}, "data": {"model": model}}
        more = form if path in ROUTES and ROUTES[path].multipart else {"json": body}
        return httpx2.post(site.gateway + path, headers=key, trust_env=False, timeout=PATIENCE_S, **more)

    for path in [*ROUTES, "/v1/prompt"]:
        refused = send(path, "secret-model")
        assert (refused.status_code, "may not use" in refused.text) == (403, True), path
        assert "Did you mean 'secret-modal'?" in refused.text, path
        unknown = send(path, "secret-modal")  # a name that it may use, and that nobody serves
        assert (unknown.status_code, "secret-model" in unknown.text) == (404, False), path
    for path in ("/v1/models", "/v1/status", "/v1/models/dolly"):
        seen = httpx2.get(site.gateway + path, headers=key, trust_env=False)
        assert ("dolly" in seen.text, "secret-model" in seen.text) == (True, False), path


def test_a_keys_limits_hold_where_no_model_answers(site: Site) -> None:
    key = limited_key(site, requests_per_min=2)
    url = f"{site.gateway}/v1/feedback/votes"
    answers = [httpx2.get(url, headers=key, trust_env=False).status_code for _ in range(6)]
    assert answers[0] == 200
    assert answers.count(429) >= 2  # not 4: a minute may begin meanwhile
    assert httpx2.get(f"{site.gateway}/v1/usage", headers=key, trust_env=False).status_code == 200
    body = {"model": "dolly", "messages": [{"role": "user", "content": "안녕"}]}
    more = [
        httpx2.post(f"{site.gateway}/v1/prompt", json=body, headers=key, trust_env=False).status_code
        for _ in range(6)
    ]
    assert more.count(429) >= 2


def test_a_body_of_a_control_route_is_small(site: Site) -> None:
    admin = {"authorization": f"Bearer {ADMIN}"}
    body = {"name": "x" * 300_000}
    answer = httpx2.post(f"{site.gateway}/admin/keys", json=body, headers=admin, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


def test_a_lost_store_lets_nobody_in(site: Site, tmp_path: Path) -> None:
    """The gateway begins with an empty store, as one whose volume was lost."""
    url = f"http://127.0.0.1:{free_port()}"
    argv = kodolly("gateway", "--port", url.rpartition(":")[2], *NO_ENGINE)
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_GATEWAY_REQUIRE_KEYS": "true"}
    with running(argv, tmp_path / "log", f"{url}/healthz", env, tmp_path):
        for headers in ({}, {"authorization": "Bearer sk-kodolly-old"}):
            answer = httpx2.get(f"{url}/v1/models", headers=headers, trust_env=False)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
            assert "kodolly keys create" in answer.json()["error"]["message"]


def test_a_gateway_that_others_reach_and_that_asks_for_no_key_says_so(tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    argv = kodolly("gateway", "--host", "0.0.0.0", "--port", str(port), *NO_ENGINE)
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    with running(argv, log, f"http://127.0.0.1:{port}/healthz", env, tmp_path):
        assert "NO KEY IS ASKED FOR" in log.read_text(encoding="utf-8")


def test_a_gateway_without_a_documents_service_says_so(site: Site) -> None:
    answer = httpx2.get(f"{site.gateway}/v1/files", headers=limited_key(site), trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "documents_not_configured")


@pytest.mark.parametrize("path", ["/v1/files/..", "/v1/files/%2e%2e/content", "/v1/vector_stores/../files"])
def test_no_path_of_the_documents_leads_to_another(site: Site, path: str) -> None:
    key = f"Authorization: {limited_key(site)['authorization']}"
    (answer,) = talk(site.gateway, request(site.gateway, "GET", path, [key]))
    assert answer.status == 404
