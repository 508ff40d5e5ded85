"""`kodolly up`: start every part, say when all are ready, keep them running, stop them in order."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2

from common.errors import UserError
from common.serve import check_port
from common.status import Status
from kodolly.console import Console
from kodolly.gateway_access import auth_headers
from kodolly.stack import Ports, UpSettings
from kodolly.supervise import Child, Part

POLL_S = 0.5


async def run_stack(settings: UpSettings, parts: Sequence[Part], ports: Ports, console: Console) -> None:
    """Run until SIGINT or SIGTERM. Every part is stopped before this returns, whatever happens."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    children = [Child(part, console.say, settings.state_dir / "logs") for part in parts]
    running = [asyncio.create_task(child.run()) for child in children]
    announcing = asyncio.create_task(_announce_when_ready(settings, ports, console))
    stopping = asyncio.create_task(stop.wait())
    try:
        # A child's task ends only by a bug or an unwritable log: then the stack must not pretend to run.
        await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
    finally:
        announcing.cancel()
        stopping.cancel()
        console.progress("")
        console.say("up", "stopping ...")
        await _stop_in_order(children)
        results = await asyncio.gather(*running, return_exceptions=True)
        console.say("up", "stopped")
    for result in results:
        if isinstance(result, OSError):
            raise UserError(
                f"A part could not be run: {result}.", hint="Check the disk and the state directory."
            )
        if isinstance(result, Exception):
            raise result


async def _stop_in_order(children: Sequence[Child]) -> None:
    """Web UI, then gateway (it drains its streams), then all workers at once, then the controller."""
    workers = [c for c in children if c.part.name.startswith("worker-")]
    by_name = {c.part.name: c for c in children}
    for group in ([by_name["webui"]], [by_name["gateway"]], workers, [by_name["controller"]]):
        await asyncio.gather(*(child.stop() for child in group))


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
    for name, port in (("controller", ports.controller), ("web UI", ports.webui)):
        if not await _healthy(client, f"http://127.0.0.1:{port}/healthz"):
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
