"""What stands in docker/kubernetes/, rendered once, and what the code knows of the same things."""

import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import yaml

from common.settings import PartSettings
from controller.settings import ControllerSettings
from documents.service.settings import DocumentsSettings
from kodolly.commands.controller import command as controller_command
from kodolly.commands.documents import command as documents_command
from kodolly.commands.gateway import command as gateway_command
from kodolly.commands.webui import command as webui_command
from kodolly.commands.worker import command as worker_command
from server.settings import GatewaySettings
from tests.support.docker_files import DOCKER
from tests.support.programs import first_installed
from webui.settings import WebuiSettings
from worker.settings import WorkerSettings

KUBERNETES = DOCKER / "kubernetes"
STACKS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))
JOBS = ("training", "improve")
"""What runs beside a stack."""
RENDERED = [*STACKS, *JOBS]
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One part of kodolly as code knows it."""

    settings: type[PartSettings]
    command: click.Command
    images: tuple[str, ...]
    port: int
    health: str


PARTS = {
    "controller": Part(ControllerSettings, controller_command, ("kodolly-gateway",), 21001, "/healthz"),
    "gateway": Part(GatewaySettings, gateway_command, ("kodolly-gateway",), 8000, "/healthz"),
    "documents": Part(DocumentsSettings, documents_command, ("kodolly-documents",), 21501, "/healthz"),
    "webui": Part(WebuiSettings, webui_command, ("kodolly-webui",), 7860, "/healthz"),
    "worker": Part(
        WorkerSettings, worker_command, ("kodolly-worker-cpu", "kodolly-worker-gpu"), 21002, "/health"
    ),
}

TEMPLATE_PATHS = {
    "Deployment": ["template"],
    "StatefulSet": ["template"],
    "Job": ["template"],
    "CronJob": ["jobTemplate.spec.template"],
    "LeaderWorkerSet": ["leaderWorkerTemplate.leaderTemplate", "leaderWorkerTemplate.workerTemplate"],
}


@functools.cache
def render(name: str) -> tuple[Manifest, ...]:
    directory = KUBERNETES / name if name in JOBS else KUBERNETES / "overlays" / name
    program = {"kustomize": ["kustomize", "build"], "kubectl": ["kubectl", "kustomize"]}[
        first_installed("kustomize", "kubectl")
    ]
    done = subprocess.run([*program, str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def of_kind(name: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in render(name) if manifest["kind"] in kinds]


@dataclass(frozen=True)
class Pods:
    """The pods that one template makes."""

    owner: Manifest
    template: Manifest

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template["metadata"]["labels"])

    @property
    def spec(self) -> Manifest:
        return dict(self.template["spec"])

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def __str__(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"


def pods(name: str) -> Iterator[Pods]:
    for manifest in render(name):
        for path in TEMPLATE_PATHS.get(manifest["kind"], []):
            template = functools.reduce(lambda at, key: at[key], path.split("."), manifest["spec"])
            yield Pods(manifest, template)


def part_of(container: Manifest) -> str | None:
    """The part of kodolly that a container becomes."""
    words = [*container.get("command", []), *container.get("args", [])]
    return next((word for word in words if word in PARTS), None) if "kodolly" in container["image"] else None


def parts(name: str) -> Iterator[tuple[Pods, Manifest, Part]]:
    for group in pods(name):
        for container in group.spec["containers"]:
            if part := part_of(container):
                yield group, container, PARTS[part]


def variables(container: Manifest) -> dict[str, Manifest]:
    return {entry["name"]: entry for entry in container.get("env", [])}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return all(labels.get(key) == value for key, value in wanted)
