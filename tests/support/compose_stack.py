"""One copy of the Compose stack for docker/test-compose, with values, ports and volumes of its own."""

import asyncio
import json
import os
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
from openai import AuthenticationError, OpenAI

from tests.support.load import Outcome, new_client, stream
from tests.support.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPANY_PROXY = "http://proxy.corp.example:3128"
STREAMS = 16
QUESTION = "가을 산에 오를 때 챙길 것을 알려 주세요."
COMPOSE = (
    ["docker", "compose"]
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    else ["docker-compose"]
)

began = time.monotonic()


def say(text: str) -> None:
    """A line of the record, with the seconds since the start."""
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


def run(
    *argv: str, check: bool = True, env: Mapping[str, str] | None = None, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program quietly, `given` on its standard input; what it printed is shown when it fails."""
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env=env, input=given)
    if check and done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout[-6000:]}{done.stderr[-6000:]}")
    return done


def inspect(name: str, form: str) -> object:
    """A field of a container or an image, by a Go template."""
    found: object = json.loads(run("docker", "inspect", "-f", f"{{{{json {form}}}}}", name).stdout)
    return found


def wait(condition: Callable[[], bool], what: str, limit_s: float = 600.0) -> float:
    """Poll until it is true; returns the seconds."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > limit_s:
            raise SystemExit(f"waited {limit_s:.0f} s for {what}")
        time.sleep(0.2)
    return time.monotonic() - start


def company_network(directory: Path) -> dict[str, str]:
    """An environment in which Docker hands a company's proxy to every container (~/.docker/config.json)."""
    configuration = directory / "docker-of-a-company"
    configuration.mkdir(exist_ok=True)
    proxies = {"default": {"httpProxy": COMPANY_PROXY, "httpsProxy": COMPANY_PROXY}}
    (configuration / "config.json").write_text(json.dumps({"proxies": proxies}), encoding="utf-8")
    return os.environ | {"DOCKER_CONFIG": str(configuration)}


class Project:
    """One copy of the stack."""

    def __init__(self, directory: Path, name: str, profiles: str, **more: object) -> None:
        """`more` are further values of .env."""
        self.name = name
        self.port, self.ui_port = free_port(), free_port()
        self.https_port, self.prometheus_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token, self.key = secrets.token_hex(32), secrets.token_hex(32)
        self.headers = {"authorization": f"Bearer {self.key}"}
        self.environment = company_network(directory)
        values = {
            "COMPOSE_PROFILES": profiles,
            "KODOLLY_JOIN_TOKEN": self.token,
            "KODOLLY_API_KEY": self.key,
            "KODOLLY_PORT": self.port,
            "KODOLLY_UI_PORT": self.ui_port,
            "KODOLLY_PUBLIC_URL": self.url,
            "KODOLLY_PUBLIC_BIND": "127.0.0.1",
            "KODOLLY_HTTP_PORT": free_port(),
            "KODOLLY_HTTPS_PORT": self.https_port,
            "PROMETHEUS_PORT": self.prometheus_port,
            "KODOLLY_TAG": "test",
        }
        self.env_file = directory / f"{name}.env"
        self.set(**(values | more))

    def set(self, **values: object) -> None:
        """Add lines to .env; later ones win."""
        with self.env_file.open("a", encoding="utf-8") as file:
            file.writelines(f"{key}={value}\n" for key, value in values.items())

    def compose(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        files = ("--env-file", str(self.env_file), "-f", str(ROOT / "docker" / "compose.yaml"))
        return run(*COMPOSE, *files, "-p", self.name, *argv, check=check, env=self.environment)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).stdout.split()

    def status(self) -> dict[str, object]:
        answer = httpx2.get(f"{self.url}/v1/status", headers=self.headers, timeout=5, trust_env=False)
        found: dict[str, object] = answer.json()
        return found

    def workers(self, model: str) -> int:
        """How many workers of a model are ready."""
        found = self.status()["models"]
        assert isinstance(found, list)
        return sum(entry["workers"] for entry in found if entry["id"] == model)

    def healthy(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=2, trust_env=False).status_code == 200
        except httpx2.HTTPError:
            return False

    def chat(self, model: str, url: str | None = None) -> httpx2.Response:
        """One short answer, or what is said instead. Raises httpx2.HTTPError when nobody answers."""
        body = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 8}
        with httpx2.Client(headers=self.headers, verify=False, trust_env=False, timeout=180) as http:
            return http.post(f"{url or self.url}/v1/chat/completions", json=body)


@contextmanager
def removed_afterwards(project: Project) -> Iterator[Project]:
    """Containers and volumes are gone at the end; what they said is shown on a failure."""
    try:
        yield project
    except BaseException:
        print(project.compose("ps", check=False).stdout)
        print(project.compose("logs", "--tail", "40", check=False).stdout[-12000:])
        raise
    finally:
        project.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def client(project: Project, key: str = "") -> OpenAI:
    """The official client at a stack, with the stack's own key or another."""
    http = httpx2.Client(trust_env=False, timeout=120)
    return OpenAI(base_url=f"{project.url}/v1", api_key=key or project.key, max_retries=0, http_client=http)


def refused(project: Project, key: str) -> bool:
    """Whether the gateway does not take this key."""
    try:
        client(project, key).models.list()
    except AuthenticationError:
        return True
    return False


def kodolly(project: Project, *argv: str) -> str:
    """What a command in the gateway's container prints."""
    return project.compose("exec", "-T", "gateway", "kodolly", *argv).stdout


def in_gateway(project: Project, *argv: str, given: bytes = b"") -> bytes:
    """Run a program in the gateway's container as its user: what `docker cp` brings belongs to root."""
    done = subprocess.run(
        ["docker", "exec", "-i", project.containers("gateway")[0], *argv], input=given, capture_output=True
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    return done.stdout


def bodies(count: int, tokens: int) -> list[dict[str, object]]:
    """Conversations of different people; their answers do not end early."""
    return [
        {
            "model": "demo-dolly",
            "messages": [{"role": "user", "content": f"{number}번 손님입니다. {QUESTION}"}],
            "max_tokens": tokens,
            "ignore_eos": True,
        }
        for number in range(count)
    ]


async def while_streaming(project: Project, tokens: int, event: Callable[[], object]) -> list[Outcome]:
    """STREAMS streams at once; `event` comes when each has had its first token."""
    begun: set[int] = set()
    all_begun = asyncio.Event()

    def on_token(number: int) -> None:
        begun.add(number)
        if len(begun) == STREAMS:
            all_begun.set()

    async with new_client(STREAMS) as http:
        http.headers.update(project.headers)
        tasks = [
            asyncio.create_task(stream(http, project.url, body, partial(on_token, number)))
            for number, body in enumerate(bodies(STREAMS, tokens))
        ]
        async with asyncio.timeout(120):
            await all_begun.wait()
        await asyncio.to_thread(event)
        return list(await asyncio.gather(*tasks))


def by_upstream(project: Project, metric: str) -> Counter[str]:
    """Upstream -> what the gateway's metric says of it now."""
    text = httpx2.get(f"{project.url}/metrics", timeout=5, trust_env=False).text
    counts: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith(f"{metric}{{"):
            counts[line.partition('upstream="')[2].partition('"')[0]] += int(float(line.rpartition(" ")[2]))
    return counts
