"""Tokens a second through worker and gateway, as a share of what the same vLLM gives directly.

python benchmarks/whole_stack.py [--starts 4] [--rounds 5] [--seconds 5] [--clients 16] [--threads 1]

Trains the demo models first if need be. Clients stream answers of 64 tokens from demo-dolly on vLLM's CPU
build, directly and through the gateway in turn. Engine, gateway and load share the machine, as on a user's
small one: what the gateway uses is missing to the engine. The third line asks vLLM directly for token counts
on every event, as the gateway does so that cut streams are counted exactly.

All clients' answers come in step, so that counting those that fit into a time would count in leaps: the rate
is clients x tokens / mean time of an answer (Little's law; each client asks again at once). How the kernel
places the processes lasts as long as they run and weighs as much as what is measured; hence several starts.
Needs Linux and `wrk`.
"""

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.gateway_loads import WRK  # noqa: E402
from finetune.demo.build import build_demo, demo_directories  # noqa: E402
from finetune.progress import terminal_report  # noqa: E402
from tests.support.conformance.stacks import engines_of  # noqa: E402
from tests.support.gateway_stack import TOKEN, controller_and_gateway, model_ids  # noqa: E402
from tests.support.processes import free_port, kodolly, running, wait_for  # noqa: E402

DEMO = ROOT / ".kodolly" / "e2e" / "demo"
TOKENS = 64
MODEL = "demo-dolly"


def tokens_per_s(url: str, key: str, tmp: Path, clients: int, seconds: float, counted: bool) -> float:
    """While `clients` have their answers streamed."""
    asked = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "한국의 사계절을 설명해 주세요."}],
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "stream": True,
    }
    if counted:
        asked["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    script = tmp / "load.lua"
    script.write_text(WRK % (key, json.dumps(asked, ensure_ascii=False)), encoding="utf-8")
    argv = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "60s", "-s", str(script)]
    done = subprocess.run(
        [*argv, f"{url}/v1/chat/completions"], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in done, done
    assert "Socket errors" not in done, done
    found = re.search(r"Latency\s+([\d.]+)(ms|s)", done)
    assert found, done
    return clients * TOKENS / (float(found[1]) / (1000 if found[2] == "ms" else 1))


def main() -> None:
    """Run from the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="of each start")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1, help="threads of the engine")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("this needs `wrk` (Debian: apt install wrk)")
    build_demo(DEMO, terminal_report())
    starts = [measure(args.rounds, args.seconds, args.clients, args.threads) for _ in range(args.starts)]
    for name in starts[0]:
        pairs = [pair for start in starts for pair in zip(start["direct"], start[name], strict=True)]
        ratios = [rate / alone for alone, rate in pairs]
        each = ", ".join(f"{sum(start[name]) / sum(start['direct']):.3f}" for start in starts)
        rate, ratio = statistics.median(rate for _, rate in pairs), statistics.median(ratios)
        print(f"{name:16} {rate:6.0f} tokens/s at {args.clients} clients")
        print(f"{ratio:20.3f} of direct ({min(ratios):.3f}-{max(ratios):.3f}); by start {each}")


def measure(rounds: int, seconds: float, clients: int, threads: int) -> dict[str, list[float]]:
    """Tokens/s by way, of each round of one start of everything."""
    _, dolly = demo_directories(DEMO)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        tmp = Path(folder)
        env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp / "state")}
        controller, gateway, _ = stack.enter_context(controller_and_gateway(tmp, env))
        argv = kodolly("worker", str(dolly), "--name", MODEL, "--port", str(free_port()))
        argv += ["--controller", controller, "--cpu-threads", str(threads)]
        worker = stack.enter_context(running(argv, tmp / "worker.log", None, env, tmp))
        wait_for(lambda: model_ids(gateway) == [MODEL], 300, worker, tmp / "worker.log", "the engine")
        engine = engines_of(controller)[MODEL]
        ways = {
            "direct": (engine.url, engine.key, False),
            "gateway": (gateway, "", False),
            "direct, counted": (engine.url, engine.key, True),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for url, key, counted in ways.values():  # warm up
            tokens_per_s(url, key, tmp, clients, 3, counted)
        for _ in range(rounds):
            for name, (url, key, counted) in random.sample(list(ways.items()), len(ways)):
                found[name].append(tokens_per_s(url, key, tmp, clients, seconds, counted))
        return found


if __name__ == "__main__":
    main()
