"""A running `kodolly up --demo`, with a second vLLM server as a provider."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from tests.support.processes import free_port, kodolly, running, stop, wait_for

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".kodolly" / "e2e"
STAND_IN = "chatgpt-stand-in"
KEY = "stand-in-key"


@dataclass(frozen=True)
class Stack:
    """A running `kodolly up --demo`."""

    gateway: str
    webui: str
    log: Path
    cwd: Path
    env: dict[str, str]

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway}/v1", api_key="none", max_retries=0, timeout=120)


@contextmanager
def demo_stack(cwd: Path) -> Iterator[Stack]:
    """Started in `cwd`, with three providers: the stand-in, one with a wrong key, one that never answers."""
    ports = {name: free_port() for name in ("gateway", "webui", "controller", "stand_in", "mute")}
    for old in STATE.glob("kodolly.db*"):
        old.unlink()
    stand_in = f"http://127.0.0.1:{ports['stand_in']}/v1"
    (cwd / "kodolly.yaml").write_text(
        "gateway:\n  external:\n"
        f"    - {{name: openai, base_url: '{stand_in}', key_env: OPENAI_API_KEY, models: [{STAND_IN}]}}\n"
        f"    - {{name: denied, base_url: '{stand_in}', key_env: DENIED_KEY, models: [denied]}}\n"
        f"    - {{name: mute, base_url: 'http://127.0.0.1:{ports['mute']}/v1', key_env: MUTE_KEY,"
        " models: [mute], first_event_timeout_s: 20}\n",
        encoding="utf-8",
    )
    env = {
        "KODOLLY_STATE_DIR": str(STATE),
        "OPENAI_API_KEY": KEY,
        "DENIED_KEY": "wrong-key",
        "MUTE_KEY": "any",
        "KODOLLY_GATEWAY_PORT": str(ports["gateway"]),
        "KODOLLY_WEBUI_PORT": str(ports["webui"]),
        "KODOLLY_CONTROLLER_PORT": str(ports["controller"]),
        "KODOLLY_UP_WORKER_PORT": str(free_port()),
        "KODOLLY_DOCUMENTS_PORT": str(free_port()),
    }
    log = cwd / "up.log"
    with ExitStack() as running_parts:
        mute = running_parts.enter_context(socket.create_server(("127.0.0.1", ports["mute"])))
        assert mute.getsockname()[1] == ports["mute"]
        began = time.monotonic()
        up = running_parts.enter_context(running(kodolly("up", "--demo"), log, None, env, cwd))
        ready = "kodolly is ready"
        wait_for(lambda: ready in log.read_text(encoding="utf-8"), 600, up, log, "kodolly up --demo")
        print(f"\nkodolly up --demo: ready after {time.monotonic() - began:.0f} s")
        running_parts.enter_context(_vllm_server(STATE, ports["stand_in"], cwd / "stand-in.log"))
        gateway = f"http://127.0.0.1:{ports['gateway']}"
        yield Stack(gateway, f"http://127.0.0.1:{ports['webui']}", log, cwd, env)
        assert stop(up) == 0
        assert [name for name in ("gateway", "webui", "controller") if answers(ports[name])] == []
        ours = [line for line in log.read_text(encoding="utf-8").splitlines() if "engine |" not in line]
        assert "Traceback" not in "\n".join(ours)


def answers(port: int) -> bool:
    """Whether anything listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _vllm_server(state: Path, port: int, log: Path) -> Any:
    """A plain vLLM server of the base model under its own key, as a provider's would be."""
    model = next((state / "demo").glob("**/demo-base*/kodolly.json")).parent
    argv = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    argv += ["--served-model-name", STAND_IN, "--enforce-eager", "--host", "127.0.0.1", "--port", str(port)]
    env = {
        "VLLM_API_KEY": KEY,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    return running(argv, log, f"http://127.0.0.1:{port}/health", env, limit_s=300)
