"""Checks of docker/test-compose about networks: a company's proxy, IPv6, flags that move a part."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2

from tests.support.compose_stack import COMPANY_PROXY, Project, inspect, run, say, wait
from tests.support.processes import free_port

PROVIDER = "http://provider.corp.example/v1"
PROXY_PROGRAM = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Proxy(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        print(self.command, self.path, flush=True)
        message = {"role": "assistant", "content": "through the proxy"}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "gpt-4o-mini"}
        answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer["usage"] = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        print(self.command, self.path, flush=True)
        self.send_error(403)

    do_HEAD = do_CONNECT = do_GET

    def log_message(self, *of):
        pass

ThreadingHTTPServer(("", 3128), Proxy).serve_forever()
"""
"""A company's proxy that answers for the provider itself, and prints whatever it was asked for."""


@contextmanager
def company_proxy(project: Project) -> Iterator[str]:
    """A container at COMPANY_PROXY in the project's network; yields its name."""
    name = f"{project.name}-company-proxy"
    alias = COMPANY_PROXY.removeprefix("http://").partition(":")[0]
    where = ("--network", f"{project.name}_default", "--network-alias", alias)
    program = ("--entrypoint", "python", "kodolly-gateway:test", "-c", PROXY_PROGRAM)
    run("docker", "run", "-d", "--name", name, "--no-healthcheck", *where, *program)
    try:
        yield name
    finally:
        run("docker", "rm", "-f", name, check=False)


def _healthy(container: str) -> bool:
    return inspect(container, ".State.Health.Status") == "healthy"


def is_well_behind_a_company_proxy(project: Project) -> None:
    """Each container was given the proxy and is healthy; only the provider is asked through it."""
    services = ("controller", "gateway", "webui", "worker", "worker-base")
    for service in services:
        (container,) = project.containers(service)
        given = inspect(container, ".Config.Env")
        assert isinstance(given, list)
        assert f"HTTPS_PROXY={COMPANY_PROXY}" in given or f"https_proxy={COMPANY_PROXY}" in given, given
        wait(partial(_healthy, container), service, 120)
    with company_proxy(project) as proxy:

        def provider_answers() -> bool:
            return project.chat("gpt-4o-mini").status_code == 200

        wait(provider_answers, "the provider behind the proxy", 60)
        assert project.chat("demo-dolly").status_code == 200
        assert project.chat("demo-base").status_code == 200
        asked = set(run("docker", "logs", proxy).stdout.splitlines())
    assert asked == {f"POST {PROVIDER}/chat/completions"}, asked
    say(f"healthy with {COMPANY_PROXY} in every container: {', '.join(services)}")
    say(f"the proxy was asked for {', '.join(asked)} and nothing else")


def serves_static_models_at_another_port() -> None:
    """`gateway --static` needs no token; its health check follows --port; HEAD is answered."""
    name, port = f"kodolly-test-static-{secrets.token_hex(3)}", free_port()
    url = f"http://127.0.0.1:{port}"
    flags = ("gateway", "--static", "elsewhere=http://127.0.0.1:9", "--port", str(port))
    run("docker", "run", "-d", "--name", name, "--network", "host", "kodolly-gateway:test", *flags)
    try:
        wait(lambda: inspect(name, ".State.Health.Status") == "healthy", "the static gateway", 90)
        head = httpx2.head(f"{url}/healthz", trust_env=False)
        assert (head.status_code, head.content) == (200, b"")
        unserved = httpx2.post(
            f"{url}/v1/chat/completions",
            json={"model": "elsewhere", "messages": [{"role": "user", "content": "?"}]},
            trust_env=False,
        )
        assert unserved.status_code == 503, unserved.text
        assert "none has answered yet" in unserved.text, unserved.text
        say(f"gateway --static --port {port}: healthy, HEAD 200; {unserved.json()['error']['message']}")
    finally:
        run("docker", "rm", "-f", name, check=False)


def parts_find_each_other_by_ipv6(checkpoint: Path) -> None:
    """Controller, gateway and a CPU worker that know each other by IPv6 addresses alone."""
    tag = secrets.token_hex(3)
    network, token, key = f"kodolly-test-v6-{tag}", secrets.token_hex(32), secrets.token_hex(32)
    subnet = f"fd00:{tag[:4]}:{int(tag[4:], 16):x}::/64"
    run("docker", "network", "create", "--ipv6", "--subnet", subnet, network)
    names: list[str] = []

    def start(part: str, image: str, *options: str) -> str:
        """Start one container; returns its IPv6 address, in brackets."""
        name = f"{network}-{part}"
        names.append(name)
        given = ("-e", f"KODOLLY_JOIN_TOKEN={token}", *options)
        run("docker", "run", "-d", "--name", name, "--network", network, *given, *image.split())
        found = inspect(name, f'(index .NetworkSettings.Networks "{network}").GlobalIPv6Address')
        return f"[{found}]"

    try:
        controller = start("controller", "kodolly-gateway:test controller")
        follow = f'["http://{controller}:21001"]'
        settings = ("-e", f"KODOLLY_GATEWAY_CONTROLLERS={follow}", "-e", f'KODOLLY_API_KEYS=["{key}"]')
        gateway = start("gateway", "kodolly-gateway:test gateway", *settings)
        address = f"fd00:{tag[:4]}:{int(tag[4:], 16):x}::77"
        worker = start(
            "worker",
            "kodolly-worker-cpu:test worker /models/my-dolly --name v6",
            *("--ip6", address, "-v", f"{checkpoint}:/models/my-dolly:ro", "--shm-size", "1g"),
            *("-e", f"KODOLLY_WORKER_CONTROLLERS={follow}", "-e", "KODOLLY_WORKER_CPU_KV_CACHE_GIB=1"),
            *("-e", f"KODOLLY_WORKER_ADVERTISE_URL=http://[{address}]:21002"),
        )
        body = {"model": "v6", "messages": [{"role": "user", "content": "안녕"}], "max_tokens": 4}

        def answers() -> bool:
            try:
                url = f"http://{gateway}:8000/v1/chat/completions"
                headers = {"authorization": f"Bearer {key}"}
                answer = httpx2.post(url, json=body, headers=headers, timeout=60, trust_env=False)
                return answer.status_code == 200
            except httpx2.HTTPError:
                return False

        took = wait(answers, "an answer over IPv6")
        say(f"IPv6: the gateway at {gateway} answers with the worker at {worker} after {took:.0f} s")
    except BaseException:
        for name in names:
            print(run("docker", "logs", "--tail", "20", name, check=False))
        raise
    finally:
        run("docker", "rm", "-f", *names, check=False)
        run("docker", "network", "rm", network, check=False)
