"""What a gateway costs: ours and others in turn, in front of one instant engine, in one run.

python benchmarks/gateway.py [--only kodolly,vllm-router] [--against DIR] [--quick] [--rounds 3] [--json FILE]

The gateway under test has core 1 to itself; engine and load generator share core 0. Ours runs as users run
it: key with limits, ledger, metrics, access log, workers from a real controller. CPU is that of all the
gateway's processes (/proc/PID/schedstat). Needs Linux, two cores and `wrk` (Debian's package).
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.peers import CACHE, peer_venv  # noqa: E402
from tests.support.gateway_stack import TOKEN, member  # noqa: E402
from tests.support.processes import free_port, kodolly, running, wait_for  # noqa: E402

LOAD_CORE, GATEWAY_CORE = "0", "1"
MODEL = "tiny"
BEFORE = "kodolly before"
"""The row of `--against`."""
WRK = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
wrk.body = [[%s]]
"""


@dataclass(frozen=True)
class Target:
    """A gateway that runs."""

    url: str
    key: str
    pids: Callable[[], list[int]]


@dataclass(frozen=True)
class Row:
    """One measurement."""

    name: str
    load: str
    cpu_us: float
    """Per request; 0 for `direct`, whose engine shares its core with the load."""
    rps: float
    p50_ms: float
    p99_ms: float
    failed: int


Found = dict[tuple[str, str], dict[int, Row]]
"""By load and gateway: the rows by their round."""


def body(stream: bool, tokens: int) -> str:
    """A request as a chat page sends it."""
    messages = [
        {"role": "system", "content": "당신은 친절한 도우미입니다."},
        {"role": "user", "content": "대한민국의 수도는 어디인가요?"},
    ]
    asked = {"model": MODEL, "messages": messages, "max_tokens": tokens, "stream": stream}
    return json.dumps(asked, ensure_ascii=False)


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


# -- gateways -------------------------------------------------------------------------------------------


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


# -- loads ----------------------------------------------------------------------------------------------


def is_whole(target: Target, stream: bool, tokens: int) -> bool:
    """Whether one answer has every token, and its end: who drops some is not fast."""
    headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
    try:
        answer = httpx2.post(
            f"{target.url}/v1/chat/completions",
            content=body(stream, tokens).encode(),
            headers=headers,
            timeout=30,
            trust_env=False,
        )
    except httpx2.HTTPError:
        return False
    if answer.status_code != 200:
        return False
    if not stream:
        return str(answer.json()["choices"][0]["message"]["content"]).count("가나") == tokens
    return answer.text.count("가나") == tokens and answer.text.rstrip().endswith("data: [DONE]")


def wait_until_whole(name: str, target: Target, stream: bool, tokens: int, tmp: Path) -> None:
    """AssertionError with the end of the gateway's logs when it never answers whole."""
    try:
        wait_for(lambda: is_whole(target, stream, tokens), 90, what=f"{name} to answer whole")
    except AssertionError as error:
        logs = [f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in tmp.glob("*.log")]
        raise AssertionError("\n".join([str(error), *logs])) from error


def load(
    name: str, target: Target, tmp: Path, clients: int, stream: bool, tokens: int, seconds: float
) -> Row:
    """`clients` at once, each as fast as it gets answers."""
    script = tmp / "load.lua"
    script.write_text(WRK % (target.key, body(stream, tokens)), encoding="utf-8")
    argv = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--latency", "--timeout", "30s"]
    pids = target.pids()
    before = cpu_ns(pids)
    done = subprocess.run(
        pinned(LOAD_CORE, [*argv, "-s", str(script), f"{target.url}/v1/chat/completions"]),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    spent = cpu_ns(pids) - before
    requests = int(_find(r"(\d+) requests in", done))
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", done))
    failed += sum(
        int(n) for line in re.findall(r"Socket errors: (.*)", done) for n in re.findall(r"\d+", line)
    )
    kind = f"{clients} clients, " + (f"stream of {tokens}" if stream else f"plain, {tokens} tokens")
    return Row(
        name,
        kind,
        spent / 1000 / max(1, requests),
        float(_find(r"Requests/sec:\s+([\d.]+)", done)),
        _ms(_find(r"(?m)^\s+50%\s+(\S+)", done)),
        _ms(_find(r"(?m)^\s+99%\s+(\S+)", done)),
        failed,
    )


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found.group(1)


def _ms(text: str) -> float:
    number, unit = _find(r"([\d.]+)", text), text.lstrip("0123456789.")
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]


async def open_streams(
    target: Target, count: int, tokens: int
) -> tuple[list[asyncio.StreamWriter], list[int]]:
    """`count` streams that have begun and go on slowly; the bytes of each first read."""
    host, port = target.url.removeprefix("http://").split(":")
    content = body(True, tokens).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {target.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    writers, firsts = [], []

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + content)
        firsts.append(len(await reader.read(65536)))
        writers.append(writer)

    for start in range(0, count, 100):
        await asyncio.gather(*(one() for _ in range(min(100, count - start))))
    return writers, firsts


def paced(name: str, target: Target, streams: int, tokens: int) -> Row:
    """`streams` at once from an engine that needs 20 ms for a token."""
    host, port = target.url.removeprefix("http://").split(":")
    content = body(True, tokens).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {target.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    whole = 0
    times: list[float] = []

    async def one() -> None:
        nonlocal whole
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + content)
        seen = b""
        while data := await reader.read(65536):
            seen += data
            if b"[DONE]" in data:
                break
        writer.close()
        times.append((time.perf_counter() - began) * 1000)
        whole += seen.count("가나".encode()) == tokens and b"[DONE]" in seen

    async def run() -> None:
        await asyncio.gather(*(one() for _ in range(streams)))

    pids = target.pids()
    before, began = cpu_ns(pids), time.perf_counter()
    asyncio.run(run())
    seconds = time.perf_counter() - began
    spent = (cpu_ns(pids) - before) / 1000 / streams
    times.sort()
    kind = f"{streams} streams of {tokens}, 20 ms a token"
    return Row(
        name,
        kind,
        spent,
        streams / seconds,
        times[len(times) // 2],
        times[-len(times) // 100],
        streams - whole,
    )


def memory_kb(target: Target, streams: int) -> float:
    """Resident KB that one waiting stream adds."""

    def resident() -> int:
        return sum(
            int(_find(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())) for pid in target.pids()
        )

    async def run() -> float:
        writers, _ = await open_streams(target, 100, 3000)  # warm
        before = resident()
        more, _ = await open_streams(target, streams, 3000)
        grown = resident() - before
        for writer in (*writers, *more):
            writer.close()
        return grown / streams

    return asyncio.run(run())


# -- the run --------------------------------------------------------------------------------------------


@contextmanager
def engine(tmp: Path, gap_ms: float = 0.0) -> Iterator[str]:
    port = free_port()
    argv = [sys.executable, str(Path(__file__).parent / "instant_engine.py"), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running(pinned(LOAD_CORE, [*argv, "--gap-ms", str(gap_ms)]), tmp / "engine.log", f"{url}/v1/models"):
        yield url


def measure(name: str, cache: Path, seconds: float, full: bool) -> tuple[list[Row], float]:
    """All rows of one gateway in one round, and the memory of a stream (0 when not measured)."""
    rows, memory = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        with engine(tmp) as url, GATEWAYS[name](url, tmp, cache) as target:
            for stream, tokens in ((False, 16), (True, 64)):
                wait_until_whole(name, target, stream, tokens, tmp)
                load(name, target, tmp, 16, stream, tokens, 1)
                rows.append(load(name, target, tmp, 64, stream, tokens, seconds))
            if full:
                rows.append(load(name, target, tmp, 1, False, 16, seconds))
    if full:
        with tempfile.TemporaryDirectory() as folder:
            tmp = Path(folder)
            with engine(tmp, 20) as url, GATEWAYS[name](url, tmp, cache) as target:
                wait_until_whole(name, target, True, 4, tmp)
                paced(name, target, 16, 8)
                waves = [paced(name, target, 256, 64) for _ in range(3)]
                failed = sum(wave.failed for wave in waves)
                rows.append(replace(sorted(waves, key=lambda wave: wave.cpu_us)[1], failed=failed))
                if name not in ("direct", "fastchat"):
                    memory = memory_kb(target, 1000)
    return rows, memory


def main() -> None:
    """Entry point."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--only", default=",".join(GATEWAYS), help="gateways, separated by commas")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout of this repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--quick", action="store_true", help="one round of 3 s without pacing and memory")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--cache", type=Path, default=CACHE, help="directory of the peers' environments")
    args = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        parser.error("this needs `wrk` (Debian: apt install wrk) and two cores")
    names = args.only.split(",")
    if args.against:
        GATEWAYS[BEFORE] = partial(ours, checkout=args.against.resolve(strict=True))
        names.append(BEFORE)
    for name in names:
        if name not in GATEWAYS:
            parser.error(f"unknown gateway {name!r}; there are {', '.join(GATEWAYS)}")
        if name not in ("direct", "kodolly", BEFORE):
            peer_venv(name, args.cache)
    rounds, seconds = (1, 3.0) if args.quick else (args.rounds, args.seconds)
    found: Found = {}
    memory: dict[str, list[float]] = {}
    for number in range(rounds):
        for name in names:
            print(f"round {number + 1}: {name}, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
            try:
                rows, kb = measure(name, args.cache, seconds, not args.quick)
            except AssertionError as error:
                print(f"{name} is left out of round {number + 1}: {error}", file=sys.stderr)
                continue
            for row in rows:
                found.setdefault((row.load, row.name), {})[number] = row
            if kb:
                memory.setdefault(name, []).append(kb)
    show(found, memory)
    if args.json:
        data = {
            "rows": [asdict(row) for rows in found.values() for row in rows.values()],
            "memory_kb": memory,
        }
        args.json.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")


def show(found: Found, memory: dict[str, list[float]]) -> None:
    """Medians of the rounds, and each gateway's CPU as a multiple of ours with its spread over rounds."""
    last = ""
    for (kind, name), by_round in sorted(found.items(), key=lambda item: item[0][0]):
        rows = list(by_round.values())
        if kind != last:
            print(
                f"\n{kind}\n{'':16}{'CPU us':>9}{'x ours':>25}"
                f"{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}"
            )
            last = kind
        mine = found.get((kind, "kodolly"))
        ratio = ""
        if mine and name not in ("kodolly", "direct"):
            each = [row.cpu_us / mine[number].cpu_us for number, row in by_round.items() if number in mine]
            ratio = f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"
        middle = [
            statistics.median(getattr(row, field) for row in rows)
            for field in ("cpu_us", "rps", "p50_ms", "p99_ms")
        ]
        failed = sum(row.failed for row in rows)
        print(
            f"{name:16}{middle[0]:9.0f}{ratio:>25}{middle[1]:9.0f}{middle[2]:9.2f}{middle[3]:9.2f}{failed:8d}"
        )
    for name, kbs in memory.items():
        print(f"memory of a waiting stream, {name}: {statistics.median(kbs):.1f} KB")


if __name__ == "__main__":
    main()
