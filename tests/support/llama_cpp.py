"""llama.cpp's own server, from PyPI's build for CPUs, on an exported GGUF file.

It runs in a process of its own: its destructor was seen to wait for ever, with Python's lock held.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support.processes import free_port, running


@contextmanager
def llama_server(file: Path) -> Iterator[str]:
    """The URL of llama.cpp serving `file`, on one thread, computing in float32 wherever the weights are."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, "-m", "tests.support.llama_cpp", str(file), str(port)]
    with running(argv, file.parent.with_suffix(".log"), f"{url}/health", cwd=Path(__file__).parents[2]):
        yield url


def serve(file: str, port: int) -> None:
    """Serve until a signal ends the process."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = file
    settings.hostnames, settings.port = ["127.0.0.1"], port
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = 1024, 1, 0
    settings.cpuparams.n_threads = 1
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.use_jinja, settings.warmup, settings.verbosity = True, False, -1
    server = xllamacpp.Server(settings)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while server:
        signal.pause()


def tokens_of(url: str, text: str) -> list[int]:
    """Of a text in which special tokens are spelt out."""
    body = {"content": text, "add_special": False, "parse_special": True}
    return list(post(url, "/tokenize", body)["tokens"])


def greedy(url: str, prompt: list[int], count: int) -> list[int]:
    """The likeliest `count` tokens behind `prompt`, ends of answers among them."""
    body = {"prompt": prompt, "n_predict": count, "temperature": 0, "ignore_eos": True, "return_tokens": True}
    return list(post(url, "/completion", body)["tokens"])


def post(url: str, path: str, body: dict[str, object]) -> Any:
    """What the server answers."""
    answered = httpx2.post(f"{url}{path}", json=body, timeout=60, trust_env=False)
    assert answered.status_code == 200, answered.text
    return answered.json()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
