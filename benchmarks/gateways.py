"""The gateways of benchmarks/gateway.py, each started in front of an engine and held to one core."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.peers import peer_venv  # noqa: E402
from tests.support.gateway_stack import TOKEN, member  # noqa: E402
from tests.support.processes import free_port, kodolly, running, wait_for  # noqa: E402

LOAD_CORE, GATEWAY_CORE = "0", "1"
MODEL = "tiny"


@dataclass(frozen=True)
class Target:
    """A gateway that runs."""

    url: str
    key: str
    pids: Callable[[], list[int]]


def pinned(core: str, argv: list[str]) -> list[str]:
    return ["taskset", "-c", core, *argv]


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_ns(pids: list[int]) -> int:
    """CPU time that all threads of the processes have had."""
    total = 0
    for pid in pids:
        for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(stat.read_text().split()[0])
    return total


@contextmanager
def engine(tmp: Path, gap_ms: float = 0.0) -> Iterator[str]:
    port = free_port()
    argv = [sys.executable, str(Path(__file__).parent / "instant_engine.py"), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(pinned(LOAD_CORE, [*argv, "--gap-ms", str(gap_ms)]), tmp / "engine.log", f"{url}/v1/models"):
        yield url


@contextmanager
def ours(engine: str, tmp: Path, _cache: Path, checkout: Path = ROOT) -> Iterator[Target]:
    """Everything on; the code is that of `checkout`, the installed packages are those of this run."""
    controller, gateway = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp / "state")}
    env["PYTHONPATH"] = str(checkout)
    create = kodolly("keys", "create", "bench", "--requests-per-min", "100000000")
    create += ["--tokens-per-min", "100000000000", "--concurrency", "5000"]
    done = subprocess.run(create, env=os.environ | env, cwd=tmp, capture_output=True, text=True, check=True)
    with ExitStack() as stack:
        argv = kodolly("controller", "--port", controller.rpartition(":")[2])
        stack.enter_context(
            running(pinned(LOAD_CORE, argv), tmp / "controller.log", f"{controller}/healthz", env, tmp)
        )
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--controller", controller)
        process = stack.enter_context(
            running(pinned(GATEWAY_CORE, argv), tmp / "gateway.log", f"{gateway}/healthz", env, tmp)
        )
        stack.enter_context(member(controller, engine, "worker-1", MODEL).kept())
        yield Target(gateway, done.stdout.strip(), lambda: family(process.pid))


@contextmanager
def binary(argv: list[str], url: str, tmp: Path) -> Iterator[Target]:
    with running(pinned(GATEWAY_CORE, argv), tmp / "peer.log", cwd=tmp) as process:
        yield Target(url, "bench", lambda: family(process.pid))


@contextmanager
def smg(engine: str, tmp: Path, cache: Path) -> Iterator[Target]:
    port = free_port()
    argv = [str(peer_venv("smg", cache) / "bin" / "smg"), "launch", "--worker-urls", engine]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--policy", "cache_aware"]
    argv += ["--prometheus-port", str(free_port())]
    with binary(argv, f"http://127.0.0.1:{port}", tmp) as target:
        yield target


@contextmanager
def vllm_router(engine: str, tmp: Path, cache: Path) -> Iterator[Target]:
    port = free_port()
    argv = [str(peer_venv("vllm-router", cache) / "bin" / "vllm-router"), "--worker-urls", engine]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--policy", "cache_aware"]
    argv += ["--prometheus-port", str(free_port())]
    with binary(argv, f"http://127.0.0.1:{port}", tmp) as target:
        yield target


@contextmanager
def litellm(engine: str, tmp: Path, cache: Path) -> Iterator[Target]:
    port = free_port()
    model = {"model_name": MODEL, "litellm_params": {"model": f"openai/{MODEL}", "api_base": f"{engine}/v1"}}
    model["litellm_params"]["api_key"] = "none"  # type: ignore[index]
    config = {
        "model_list": [model],
        "general_settings": {"master_key": "bench"},
        "litellm_settings": {"telemetry": False},
    }
    (tmp / "litellm.yaml").write_text(json.dumps(config))  # JSON is YAML
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    argv = [str(peer_venv("litellm", cache) / "bin" / "litellm"), "--config", str(tmp / "litellm.yaml")]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with binary(argv, f"http://127.0.0.1:{port}", tmp) as target:
        yield target


@contextmanager
def fastchat(engine: str, tmp: Path, cache: Path) -> Iterator[Target]:
    """Its API server and controller count; the bridge stands for a model worker and does not."""
    python = str(peer_venv("fastchat", cache) / "bin" / "python")
    controller, worker, port = free_port(), free_port(), free_port()
    address = f"http://127.0.0.1:{controller}"
    with ExitStack() as stack:
        argv = [python, "-m", "fastchat.serve.controller", "--host", "127.0.0.1", "--port", str(controller)]
        registry = stack.enter_context(running(pinned(GATEWAY_CORE, argv), tmp / "c.log", cwd=tmp))
        wait_for(lambda: answers(f"{address}/test_connection"), 60, what="FastChat's controller")
        argv = [sys.executable, str(Path(__file__).parent / "fastchat_bridge.py"), "--port", str(worker)]
        argv += ["--engine", engine, "--model", MODEL, "--controller", address]
        stack.enter_context(running(pinned(LOAD_CORE, argv), tmp / "bridge.log", cwd=ROOT))
        argv = [python, "-m", "fastchat.serve.openai_api_server", "--host", "127.0.0.1", "--port", str(port)]
        argv += ["--controller-address", address, "--api-keys", "bench"]
        server = stack.enter_context(running(pinned(GATEWAY_CORE, argv), tmp / "s.log", cwd=tmp))
        yield Target(
            f"http://127.0.0.1:{port}", "bench", lambda: [*family(registry.pid), *family(server.pid)]
        )


@contextmanager
def direct(engine: str, _tmp: Path, _cache: Path) -> Iterator[Target]:
    yield Target(engine, "bench", list)


GATEWAYS: dict[str, Callable[[str, Path, Path], AbstractContextManager[Target]]] = {
    "direct": direct,
    "kodolly": ours,
    "vllm-router": vllm_router,
    "smg": smg,
    "litellm": litellm,
    "fastchat": fastchat,
}


def answers(url: str) -> bool:
    try:
        return httpx2.post(url, timeout=2, trust_env=False).status_code < 500
    except httpx2.HTTPError:
        return False
