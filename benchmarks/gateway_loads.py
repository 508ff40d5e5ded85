"""What benchmarks/gateway.py asks of a gateway: as fast as it answers, at an engine's pace, or held open."""

import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.gateways import LOAD_CORE, MODEL, Target, cpu_ns, pinned  # noqa: E402
from tests.support.processes import wait_for  # noqa: E402

WRK = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer %s"
wrk.body = [[%s]]
"""


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


def body(stream: bool, tokens: int) -> str:
    """A request as a chat page sends it."""
    messages = [
        {"role": "system", "content": "당신은 친절한 도우미입니다."},
        {"role": "user", "content": "대한민국의 수도는 어디인가요?"},
    ]
    asked = {"model": MODEL, "messages": messages, "max_tokens": tokens, "stream": stream}
    return json.dumps(asked, ensure_ascii=False)


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
