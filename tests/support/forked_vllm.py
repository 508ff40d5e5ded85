"""Real vLLM CPU servers for tests, one after the other, forked from a process that has imported vLLM once."""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support.processes import free_port, wait_for
from tests.support.vllm_plugin import one_import
from worker.engine import vllm_command
from worker.settings import WorkerSettings

MODULES = (
    "vllm.entrypoints.openai.api_server",
    "vllm.entrypoints.launchers.api_server.entry",
    "vllm.v1.engine.core",
    "vllm.v1.worker.cpu_worker",
    "vllm.v1.worker.cpu_model_runner",
    "vllm.model_executor.models.transformers",
    "vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors",
)
"""What every server needs; to import it is most of a server's start."""
START_LIMIT_S = 240.0


def _serve(argv: list[str], env: dict[str, str], log: str) -> None:
    """In the forked process: become `python -m argv[0] argv[1:]`."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(env)
    one_import.patch()
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__")


def quick_vllm() -> dict[str, str]:
    """The environment in which each vLLM imports itself once: the plugin is found on the path."""
    return {"PYTHONPATH": str(Path(one_import.__file__).parent)}


@contextmanager
def served(directory: Path, log: Path, flags: Sequence[str] = ()) -> Iterator[str]:
    """The checkpoint behind vLLM's server, with a worker's command line; yields its URL.

    Weights can be exchanged while it runs (`load_weights`).
    """
    settings = WorkerSettings(port=free_port(), cpu_kv_cache_gib=1, join_token="tests-only-join-token")
    limits = ("--max-model-len", "256", "--max-num-seqs", "4", "--dtype", "float32")
    engine = vllm_command(settings, directory, ["tiny"], [*limits, *flags])
    env = {key: value for key, value in engine.env.items() if os.environ.get(key) != value}
    env |= {"VLLM_API_KEY": "", "VLLM_SERVER_DEV_MODE": "1"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(MODULES))
    process = context.Process(target=_serve, args=(list(engine.argv[2:]), env, str(log)))
    process.start()
    try:
        wait_for(
            lambda: _ready(process, engine.url, log), START_LIMIT_S, log=log, what=f"vLLM on {directory}"
        )
        yield engine.url
    finally:
        process.terminate()
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()


def _ready(process: Any, url: str, log: Path) -> bool:
    assert process.is_alive(), log.read_text(encoding="utf-8", errors="replace")[-3000:]
    try:
        return httpx2.get(f"{url}/health", timeout=2.0, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def load_weights(url: str, directory: Path) -> None:
    """Have the server answer with the weights of another checkpoint of the same shape."""
    _post(url, "/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(directory)}})
    httpx2.post(f"{url}/reset_prefix_cache", timeout=60, trust_env=False).raise_for_status()


def ask(url: str, messages: Sequence[Mapping[str, object]], **more: Any) -> dict[str, Any]:
    """The chat endpoint's answer, greedy."""
    body = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": 32, **more}
    answered: dict[str, Any] = _post(url, "/v1/chat/completions", body)
    return answered


def _post(url: str, path: str, body: dict[str, Any]) -> Any:
    answered = httpx2.post(f"{url}{path}", json=body, timeout=120, trust_env=False)
    assert answered.status_code == 200, answered.text
    return answered.json()
