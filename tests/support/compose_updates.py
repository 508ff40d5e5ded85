"""Checks of docker/test-compose about change: own checkpoints, their exchange, an update of the gateway."""

import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2

from tests.support.compose_stack import ROOT, Project, inspect, removed_afterwards, run, say, wait

BAD_VALUES: tuple[tuple[str, dict[str, str]], ...] = (
    ("KODOLLY_PORT", {"KODOLLY_PORT": "abc"}),
    ("port 23230", {"KODOLLY_PORT": "23230", "KODOLLY_UI_PORT": "23230"}),
    ("KODOLLY_MODELS", {"COMPOSE_PROFILES": "cpu", "KODOLLY_MODELS": "mymodels"}),
    ("KODOLLY_JOIN_TOKEN", {"KODOLLY_JOIN_TOKEN": "changeme"}),
    (
        "KODOLLY_GATEWAY_DATABASE_URL",
        {
            "COMPOSE_PROFILES": "postgres",
            "POSTGRES_PASSWORD": "p" * 32,
            "KODOLLY_GATEWAY_DATABASE_URL": "postgresql://kodolly:other@postgres/kodolly",
        },
    ),
)
"""What `kodolly doctor --docker` must name, and the values in .env that it is about."""


def doctor_finds_wrong_values(directory: Path) -> None:
    """Each wrong .env is told in a line, against the engine that is there, and never by a traceback."""
    place = directory / "wrong"
    place.mkdir()
    shutil.copy(ROOT / "docker" / "compose.yaml", place)
    for what, values in BAD_VALUES:
        lines = {"KODOLLY_JOIN_TOKEN": "7" * 64, "COMPOSE_PROFILES": "demo"} | values
        (place / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        argv = [str(Path(sys.executable).parent / "kodolly"), "doctor", "--docker", str(place), "--quiet"]
        done = subprocess.run(argv, capture_output=True, text=True)
        told = done.stdout + done.stderr
        assert done.returncode == 1, f"{what}: {told}"
        assert "Traceback" not in told, told
        line = next((line for line in told.splitlines() if what in line), None)
        assert line, f"{what}: {told}"
        say(f"doctor --docker: {line.strip()[:150]}")


def take_out(project: Project, model: str, directory: Path) -> Path:
    """A copy of a demo checkpoint on this machine, root's own, which nobody else may write."""
    target = directory / "models"
    target.mkdir(exist_ok=True)
    (worker,) = project.containers("worker")
    run("docker", "cp", "--follow-link", f"{worker}:/models/{model}", str(target / "my-dolly"))
    for path in (directory, target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def files(directory: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in directory.rglob("*"))


class Asking(threading.Thread):
    """Asks for a model again and again, until it is told to stop; what became of each request."""

    def __init__(self, project: Project, model: str, url: str | None = None) -> None:
        super().__init__()
        self.project, self.model, self.url = project, model, url
        self.ends: Counter[str] = Counter()
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.1):
            try:
                answer = self.project.chat(self.model, self.url)
            except httpx2.HTTPError as error:
                self.ends[type(error).__name__] += 1
                continue
            waits = "retry-after" in answer.headers
            self.ends[f"{answer.status_code}{' retry-after' if waits else ''}"] += 1

    def end(self) -> Counter[str]:
        self.stopping.set()
        self.join()
        return self.ends


def serves_an_own_checkpoint(directory: Path, models: Path, name: str) -> None:
    """Profile cpu, a checkpoint in a directory that is only read; its exchange with a bridge and without."""
    more = {"KODOLLY_MODELS": models, "KODOLLY_MODEL": "/models/my-dolly", "KODOLLY_MODEL_NAME": "my-dolly"}
    before = files(models)
    with removed_afterwards(Project(directory, name, "cpu", **more)) as project:
        start = time.monotonic()
        project.compose("up", "-d", "--no-build")
        wait(lambda: project.healthy() and project.workers("my-dolly") == 1, "the worker of profile cpu")
        assert project.chat("my-dolly").status_code == 200
        running = run(
            "docker", "ps", "-a", "--format", "{{.Names}}", "--filter", f"name={name}"
        ).stdout.split()
        assert not any("demo" in container or "base" in container for container in running), running
        assert files(models) == before
        say(
            f"profile cpu serves a checkpoint of root's (755) after {time.monotonic() - start:.0f} s, "
            f"{len(running)} containers, none of the demo"
        )
        shutil.copytree(models / "my-dolly", models / "my-dolly-2")
        exchange_over_a_bridge(project)
        exchange_in_place(project)


def exchange_over_a_bridge(project: Project) -> None:
    """As docs/deployment.md says: a second worker serves the new checkpoint meanwhile."""
    project.set(KODOLLY_MODEL="/models/my-dolly-2")
    bridge = f"{project.name}-bridge"
    asking = Asking(project, "my-dolly")
    asking.start()
    start = time.monotonic()
    (old,) = project.containers("worker-cpu")
    try:
        project.compose("run", "-d", "--no-deps", "--name", bridge, "worker-cpu")
        wait(lambda: project.workers("my-dolly") == 2, "the bridge")
        project.compose("up", "-d", "--no-deps", "--no-build", "worker-cpu")
        # Compose 1 lists the bridge among the service's containers, Compose 2 doesn't.
        wait(
            lambda: old not in project.containers("worker-cpu") and project.workers("my-dolly") == 2,
            "the new worker",
        )
        run("docker", "stop", "--time", "140", bridge)
        wait(lambda: project.workers("my-dolly") == 1, "the bridge's end")
    finally:
        ends = asking.end()
        run("docker", "rm", "-f", bridge, check=False)
    say(f"checkpoint exchanged over a bridge in {time.monotonic() - start:.0f} s: {dict(ends)}")
    assert ends.keys() == {"200"}, ends


def exchange_in_place(project: Project) -> None:
    """Without a second worker: 503 with Retry-After while the new one loads, never "does not exist"."""
    project.set(KODOLLY_MODEL="/models/my-dolly")
    asking = Asking(project, "my-dolly")
    asking.start()
    start = time.monotonic()
    try:
        project.compose("up", "-d", "--no-deps", "--no-build", "worker-cpu")
        wait(
            lambda: asking.ends["503 retry-after"] > 0 and project.workers("my-dolly") == 1, "the new worker"
        )
    finally:
        ends = asking.end()
    say(f"checkpoint exchanged in place in {time.monotonic() - start:.0f} s: {dict(ends)}")
    assert ends.keys() == {"200", "503 retry-after"}, ends


def update_the_gateway(project: Project, url: str) -> None:
    """A new image under the same tag, then `up -d`: at `url`, the proxy of profile tls, no request fails."""
    (container,) = project.containers("gateway")
    image = "kodolly-gateway:test"
    run("docker", "build", "-q", "-t", image, "-", given=f"FROM {image}\nLABEL kodolly.update=yes\n")
    asking = Asking(project, "demo-dolly", url)
    asking.start()
    start = time.monotonic()
    try:
        project.compose("up", "-d", "--no-build", "gateway")
        assert project.containers("gateway") not in ([], [container]), "it is the old one"
        wait(lambda: project.healthy() and project.workers("demo-dolly") == 1, "the new gateway")
    finally:
        ends = asking.end()
    say(f"gateway exchanged for a new image in {time.monotonic() - start:.0f} s: {dict(ends)}")
    assert ends.keys() == {"200"}, ends


def a_name_served_a_moment_ago_is_not_unknown(project: Project) -> None:
    """Its only worker is stopped and leaves the registry; the gateway starts anew; it is still 503."""
    project.compose("stop", "worker-base")
    wait(lambda: project.workers("demo-base") == 0, "the worker's end", 60)
    answer = project.chat("demo-base")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
    assert project.chat("never-there").status_code == 404
    project.compose("restart", "gateway")
    wait(project.healthy, "the gateway")
    again = project.chat("demo-base")
    assert (again.status_code, "retry-after" in again.headers) == (503, True), again.text
    say(
        f"demo-base without a worker: 503, retry-after {answer.headers['retry-after']}: "
        f"{answer.json()['error']['message']}"
    )
    assert inspect(project.containers("gateway")[0], ".State.Running") is True
