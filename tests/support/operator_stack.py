"""A whole cluster for tests of the operator commands: real workers, but a scripted engine in vLLM's place."""

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.support.forked_vllm import quick_vllm
from tests.support.gateway_stack import TOKEN
from tests.support.processes import free_port, kodolly, running, wait_for

ROOT = Path(__file__).parents[2]

FAKE_VLLM = """
import argparse, asyncio, json, os, pathlib, sys
from tests.support.engine_script import Script
from tests.support.scripted_engine import serve
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--model")
parser.add_argument("--served-model-name", nargs="+")
parser.add_argument("--lora-modules", nargs="*", default=[])
parser.add_argument("--port", type=int)
parser.add_argument("--host", default="127.0.0.1")
args, _ = parser.parse_known_args()
kind = json.loads((pathlib.Path(args.model) / "config.json").read_text()).get("kind", "")
if kind == "broken":
    sys.exit("ValueError: 가중치를 읽을 수 없습니다")
first, *more = args.served_model_name
more += [json.loads(word)["name"] for word in args.lora_modules]
script = Script(first, os.environ["VLLM_API_KEY"], tuple(more), gap_s=0.01)
if kind == "never ready":
    script.health = 500
asyncio.run(serve(args.port, script, args.host))
"""


@dataclass(frozen=True)
class Cluster:
    """Where everything is."""

    path: Path
    controllers: list[str]
    gateway: str
    env: dict[str, str]
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    """URL -> the controller or gateway that answers there."""

    def checkpoint(self, name: str, kind: str = "") -> Path:
        """A directory that looks like a checkpoint; its `kind` is how the engine behaves."""
        directory = self.path / name
        directory.mkdir(exist_ok=True)
        (directory / "config.json").write_text(json.dumps({"kind": kind}))
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        weights = struct.pack("<Q", len(header)) + header + bytes(4)
        (directory / "model.safetensors").write_bytes(weights)
        return directory

    def command(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """Run a kodolly command to its end."""
        env = os.environ | self.env
        return subprocess.run(
            kodolly(*args), capture_output=True, text=True, cwd=self.path, env=env, timeout=600
        )

    @contextmanager
    def worker(
        self, name: str, *flags: str, model_dir: Path | None = None
    ) -> "Iterator[subprocess.Popen[bytes]]":
        """One more worker of the model `name`, once all controllers and the gateway know that it is ready."""
        port, before = free_port(), self.ready(name)
        argv = kodolly("worker", str(model_dir or self.checkpoint(f"{name}-checkpoint")), "--name", name)
        argv += ["--port", str(port), *self.controller_flags(), *flags]
        log = self.path / f"worker-{port}.log"
        with running(argv, log, None, self.env, self.path) as process:
            wait_for(lambda: self.ready(name) > before, 300, process, log, f"{name} to be ready")
            yield process

    def ready(self, model: str) -> int:
        """How many ready workers of a model each part knows, that which knows fewest."""
        controllers = [self.states(model, index).count("ready") for index in range(len(self.controllers))]
        # Each answer is one gateway process's own; chance has it that one of a few is another's.
        return min(*controllers, *(self._ready_at_gateway(model) for _ in range(5)))

    def _ready_at_gateway(self, model: str) -> int:
        status = httpx2.get(f"{self.gateway}/v1/status", trust_env=False).raise_for_status().json()
        return sum(entry["workers"] for entry in status["models"] if entry["id"] == model)

    def controller_flags(self) -> list[str]:
        return [word for url in self.controllers for word in ("--controller", url)]

    def workers(self, controller: int = 0) -> list[dict[str, object]]:
        """What a controller lists."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = httpx2.get(f"{self.controllers[controller]}/v1/workers", headers=headers, trust_env=False)
        listed: list[dict[str, object]] = answer.raise_for_status().json()["workers"]
        return listed

    def states(self, model: str, controller: int = 0) -> list[str]:
        """States of all workers of a model."""
        return [str(w["state"]) for w in self.workers(controller) if model in str(w["models"])]


def fake_vllm(path: Path) -> dict[str, str]:
    """The environment in which `python -m vllm...` is a scripted engine."""
    package = path / "fake" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(FAKE_VLLM, encoding="utf-8")
    for parent in (package, package.parent, package.parent.parent):
        (parent / "__init__.py").touch()
    return {"PYTHONPATH": f"{path / 'fake'}:{ROOT}"}


@contextmanager
def cluster(
    path: Path, controllers: int = 1, real_vllm: bool = False, gateway_processes: int = 1
) -> Iterator[Cluster]:
    """Controllers and a gateway that follows them; no worker yet."""
    env = quick_vllm() if real_vllm else fake_vllm(path)
    env |= {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(path / "state")}
    env["KODOLLY_UP_WORKER_PORT"] = str(free_port())
    env["KODOLLY_DOCUMENTS_PORT"] = str(free_port())
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(controllers)]
    gateway = f"http://127.0.0.1:{free_port()}"
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:
        for url in urls:
            port = url.rpartition(":")[2]
            argv = kodolly("controller", "--port", port)
            log = path / f"controller-{port}.log"
            processes[url] = stack.enter_context(running(argv, log, f"{url}/healthz", env, path))
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--processes", str(gateway_processes))
        argv += [word for url in urls for word in ("--controller", url)]
        log = path / "gateway.log"
        processes[gateway] = stack.enter_context(running(argv, log, f"{gateway}/healthz", env, path))
        yield Cluster(path, urls, gateway, env, processes)
