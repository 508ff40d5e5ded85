"""What the choices in worker/engine.py cost and gain on this machine; docs/worker.md quotes it.

    python benchmarks/worker_start.py CHECKPOINT [CASE ...]

Starts vLLM's CPU build on CHECKPOINT, one or two engines at once, in several ways, and prints a line each:
seconds to ready, CPU seconds, processes, memory (MB), tokens/s of each engine alone and of all together.
Let nothing else run meanwhile.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

INSIDE = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
CASES: dict[str, list[dict[str, str]]] = {
    "one, vLLM's default": [{}],
    "one, model inside the engine's process": [INSIDE],
    "two, vLLM's default": [{}, {}],
    "two, one core each": [{"VLLM_CPU_OMP_THREADS_BIND": core} for core in ("0", "1")],
    "two, one thread each": [INSIDE | SLEEP | {"OMP_NUM_THREADS": "1"}] * 2,
    "two, two threads each, spinning": [INSIDE | {"OMP_NUM_THREADS": "2"}] * 2,
    "two, two threads each, sleeping": [INSIDE | SLEEP | {"OMP_NUM_THREADS": "2"}] * 2,
}
TOKENS = 200
KEY = "benchmark"


@dataclass(frozen=True)
class Engine:
    """A running vLLM server."""

    process: "subprocess.Popen[bytes]"
    url: str
    ready_s: float


def start(model: Path, env: Mapping[str, str], log: Path) -> Engine:
    """Start one engine and wait until it lists its model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fixed = {
        "VLLM_API_KEY": KEY,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    argv = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    argv += ["--served-model-name", "m", "--host", "127.0.0.1", "--port", str(port), "--enforce-eager"]
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **fixed, **env},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    while not is_ready(url):
        if process.poll() is not None:
            raise SystemExit(f"the engine ended:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    return Engine(process, url, time.monotonic() - began)


def is_ready(url: str) -> bool:
    """Whether GET /v1/models answers."""
    request = urllib.request.Request(f"{url}/v1/models", headers={"authorization": f"Bearer {KEY}"})
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def engines(model: Path, envs: Sequence[Mapping[str, str]]) -> Iterator[list[Engine]]:
    """Start all at once; end all with everything they started."""
    started: list[Engine] = []
    with tempfile.TemporaryDirectory() as logs, ThreadPoolExecutor() as pool:
        jobs = [pool.submit(start, model, env, Path(logs) / f"{i}.log") for i, env in enumerate(envs)]
        try:
            started = [job.result() for job in jobs]
            yield started
        finally:
            for engine in started:
                os.killpg(engine.process.pid, signal.SIGKILL)
                engine.process.wait()


def tokens_per_s(engine: Engine) -> float:
    """Decoding speed of one stream, the first token left out."""
    body = {"model": "m", "prompt": "안녕하세요", "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    request = urllib.request.Request(
        f"{engine.url}/v1/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    times = []
    with urllib.request.urlopen(request, timeout=300) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                times.append(time.monotonic())
    return (len(times) - 1) / (times[-1] - times[0])


def group_figures(pgid: int) -> tuple[float, int, int]:
    """(CPU seconds, processes, resident MB) of a process group."""
    shown = subprocess.run(
        ["ps", "-o", "cputimes=,rss=", "-g", str(pgid)], capture_output=True, text=True
    ).stdout
    rows = [tuple(map(int, line.split())) for line in shown.splitlines()]
    return sum(row[0] for row in rows), len(rows), sum(row[1] for row in rows) // 1024


def measure(name: str, model: Path, envs: Sequence[Mapping[str, str]]) -> None:
    """Run one case and print its line."""
    with engines(model, envs) as running:
        for engine in running:
            tokens_per_s(engine)  # the first request pays for lazy set-up
        alone = [tokens_per_s(engine) for engine in running]
        with ThreadPoolExecutor() as pool:
            together = list(pool.map(tokens_per_s, running))
        cpu, processes, memory = group_figures(running[0].process.pid)
        ready = max(engine.ready_s for engine in running)
    rates = f"alone {'/'.join(f'{rate:.0f}' for rate in alone)}"
    if len(running) > 1:
        rates += f", together {'/'.join(f'{rate:.0f}' for rate in together)}"
    print(
        f"{name}: ready {ready:.1f} s, CPU {cpu:.0f} s, {processes} processes, {memory} MB, tokens/s {rates}"
    )


def main() -> None:
    """Run the named cases, all by default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], default=[])
    args = parser.parse_args()
    for name in args.cases or CASES:
        measure(name, args.checkpoint, CASES[name])


if __name__ == "__main__":
    main()
