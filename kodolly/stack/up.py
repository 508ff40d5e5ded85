"""`kodolly up`: start every part, say when all are ready, keep them running, stop them in order."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
from pydantic import BaseModel

from common.errors import UserError
from common.serve import check_port
from common.status import Status
from kodolly.clients.control import (
    Added,
    Addresses,
    AddWorker,
    ControlRequest,
    CountRestarts,
    Removed,
    RemoveWorker,
    Restarts,
    Where,
    open_control,
)
from kodolly.clients.gateway_access import auth_headers
from kodolly.console import Console
from kodolly.stack.parts import (
    Ports,
    UpSettings,
    WorkerSpec,
    advertise_url_at,
    devices_of,
    part_env,
    threads_each,
    worker_part,
)
from kodolly.stack.supervise import Part, SupervisedPart

POLL_S = 0.5


class RunningStack:
    """The parts of a running `kodolly up`; workers may come and go."""

    def __init__(self, settings: UpSettings, ports: Ports, config: Path | None, console: Console) -> None:
        self._settings, self._ports, self._config, self._console = settings, ports, config, console
        self.children: dict[str, SupervisedPart] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.broken = asyncio.Event()
        """A part's task has failed: the stack must not pretend to run."""

    def add(self, part: Part) -> None:
        """Start `part` and keep it running."""
        child = SupervisedPart(part, self._console.say, self._settings.state_dir / "logs")
        self.children[part.name] = child
        task = self._tasks[part.name] = asyncio.create_task(child.run())
        task.add_done_callback(lambda done: self._on_end(part.name, child, done))

    def _on_end(self, name: str, child: SupervisedPart, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is None:
            if self.children.get(name) is child:
                del self.children[name], self._tasks[name]
        else:
            self.broken.set()

    async def stop(self) -> list[BaseException | None]:
        """Stop all; returns how their tasks ended.

        Web UI, then gateway (it drains its streams), then all workers and documents, then the controller.
        """
        self._stopping = True
        tasks = list(self._tasks.values())
        others = ("webui", "gateway", "controller")
        workers = [name for name in self.children if name not in others]
        for group in (["webui"], ["gateway"], workers, ["controller"]):
            await asyncio.gather(*(c.stop() for name in group if (c := self.children.get(name)) is not None))
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def answer(self, request: ControlRequest) -> BaseModel:
        """A request at the control socket. Raises UserError."""
        match request:
            case Where():
                ports = self._ports
                return Addresses(controller=ports.controller_url(), gateway=ports.gateway_url())
            case AddWorker():
                return self._add_worker(request.worker, request.port, devices_of(request.env))
            case CountRestarts():
                child = self.children.get(request.part)
                return Restarts(restarts=None if child is None else child.restarts)
            case RemoveWorker():
                if (child := self.children.get(request.part)) is not None:
                    await child.stop()
                return Removed(part=request.part)

    def _add_worker(self, spec: WorkerSpec, port: int, devices: dict[str, str]) -> Added:
        if self._stopping:
            raise UserError("It is stopping.")
        check_models([spec.model])
        check_port("127.0.0.1", port, "--port")
        env = part_env("worker", self._settings.state_dir) | devices
        threads = threads_each(len(self._settings.workers))
        controllers = (self._ports.controller_url(),)
        advertise_url = advertise_url_at(port, self._config)
        part = worker_part(spec, port, controllers, threads, env, self._config, advertise_url)
        part = replace(part, name=f"{part.name}-{port}")
        if part.name in self.children:
            raise UserError(f"{part.name} runs already.")
        self._console.say("up", f"starting {part.name}, as `kodolly deploy` asks")
        self.add(part)
        return Added(part=part.name, log=self._settings.state_dir / "logs" / f"{part.name}.log")


async def run_stack(
    settings: UpSettings, parts: Sequence[Part], ports: Ports, config: Path | None, console: Console
) -> None:
    """Run until SIGINT or SIGTERM. Every part is stopped before this returns, whatever happens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stack = RunningStack(settings, ports, config, console)
    async with open_control(settings.state_dir, stack.answer):
        for part in parts:
            stack.add(part)
        announcing = asyncio.create_task(_announce_when_ready(settings, ports, console))
        stopping, breaking = asyncio.create_task(stop.wait()), asyncio.create_task(stack.broken.wait())
        try:
            await asyncio.wait([stopping, breaking], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (announcing, stopping, breaking):
                task.cancel()
            console.progress("")
            console.say("up", "stopping ...")
            results = await stack.stop()
            console.say("up", "stopped")
    for result in results:
        if isinstance(result, OSError):
            raise UserError(
                f"A part could not be run: {result}.", hint="Check the disk and the state directory."
            )
        if isinstance(result, Exception):
            raise result


async def _announce_when_ready(settings: UpSettings, ports: Ports, console: Console) -> None:
    began = console.elapsed()
    wanted = {spec.name or spec.model.name for spec in settings.workers}
    async with httpx2.AsyncClient(timeout=2.0, trust_env=False) as client:
        while True:
            waiting = await _not_ready(client, ports, wanted)
            if not waiting:
                break
            console.progress(f"starting, {console.elapsed() - began:.0f} s: waiting for {', '.join(waiting)}")
            await asyncio.sleep(POLL_S)
    console.progress("")
    for line in _banner(settings, ports, wanted, console.elapsed() - began):
        print(line, flush=True)


async def _not_ready(client: httpx2.AsyncClient, ports: Ports, wanted: set[str]) -> list[str]:
    """What is still missing, in words; [] when everything answers and every model is ready."""
    waiting = []
    parts = (("controller", ports.controller), ("web UI", ports.webui), ("documents", ports.documents))
    for name, port in parts:
        if port is not None and not await _healthy(client, f"http://127.0.0.1:{port}/healthz"):
            waiting.append(name)
    try:
        answer = await client.get(f"http://127.0.0.1:{ports.gateway}/v1/status", headers=auth_headers())
        status = Status.model_validate_json(answer.raise_for_status().content)
    except (httpx2.HTTPError, ValueError):
        return [*waiting, "gateway", *sorted(wanted)]
    states = {model.id: model for model in status.models}
    for name in sorted(wanted):
        model = states.get(name)
        if model is None:
            waiting.append(name)
        elif model.state != "ready":
            waiting.append(f"{name} ({model.state} {model.progress:.0%})")
    return waiting


async def _healthy(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx2.HTTPError:
        return False


def _banner(settings: UpSettings, ports: Ports, models: set[str], seconds: float) -> list[str]:
    gateway = f"http://127.0.0.1:{ports.gateway}"
    return [
        "",
        f"kodolly is ready (started in {seconds:.0f} s)",
        f"  Web UI   http://127.0.0.1:{ports.webui}",
        f"  API      {gateway}/v1   (reference: {gateway}/docs)",
        f"  Models   {', '.join(sorted(models)) or 'none; name some under `up.workers` in kodolly.yaml'}",
        f"  Logs     {settings.state_dir / 'logs'}",
        "  Ctrl-C stops everything.",
        "",
    ]


def check_ports(ports: Ports, workers: int) -> None:
    """Raises UserError for the first port that is taken, before anything is started."""
    check_port("127.0.0.1", ports.controller, "--controller-port")
    check_port("127.0.0.1", ports.gateway, "--port")
    check_port("127.0.0.1", ports.webui, "--ui-port")
    if ports.documents is not None:
        check_port("127.0.0.1", ports.documents, "KODOLLY_DOCUMENTS_PORT")
    for index in range(workers):
        check_port("127.0.0.1", ports.first_worker + index, "--worker-port")


def missing_extras(extras: Sequence[tuple[str, str]]) -> list[str]:
    """Of (module, extra) pairs, the extras whose module is not installed."""
    from importlib.util import find_spec

    return [extra for module, extra in extras if find_spec(module) is None]


def require_installed(demo: bool) -> None:
    """Raises UserError that names the extras to install."""
    wanted = [("vllm", "worker or worker-cpu"), ("gradio", "webui")]
    if demo:
        wanted += [("peft", "finetune"), ("trl", "finetune")]
    missing = list(dict.fromkeys(missing_extras(wanted)))
    if missing:
        raise UserError(
            f"Not installed: {', '.join(missing)}.",
            hint="`make install` installs all of it; or pip install 'kodolly[...]' with these extras.",
        )
    if sys.platform != "linux":
        raise UserError(
            "kodolly serves with vLLM, which runs on Linux.", hint="Use Linux, WSL2 or the images."
        )


def check_models(models: Sequence[Path]) -> None:
    """Raises UserError for a checkpoint directory that is not there or not whole."""
    for model in models:
        if not (model / "config.json").is_file():
            raise UserError(
                f"{model} is not a checkpoint: it has no config.json.",
                hint="Check `up.workers` in kodolly.yaml, or run `kodolly merge` to make one.",
            )
