"""What clients cost that announce a large body, send nearly all of it, and then say nothing.

    python benchmarks/parked_bodies.py [--connections 75] [--limit-mb 100]

Starts the real gateway, asks for a key, and parks connections on its routes in waves: without a key, and with
one. A row shows the gateway's resident memory before a wave, its peak while the connections are parked, and
after the clients have gone. Ends with 1 when strangers take more than the limit, or when memory is not given
back after any wave. Needs Linux.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from tests.support.processes import free_port, kodolly, running  # noqa: E402

KEY = "parked-bodies-key"
BODY_BYTES = 15_000_000
"""As announced; the gateway takes up to 16 MiB where models are asked."""
SENT_BYTES = 14_000_000
PARKED_S = 45.0
"""Longest time for a wave to come in; below the time that the gateway waits for a body."""
SETTLED_S = 20.0
"""How long memory may take to come back."""
MB = 2**20


@dataclass(frozen=True)
class Wave:
    """Connections of one kind."""

    name: str
    method: str
    path: str
    key: str = ""


WAVES = (
    Wave("no key, feedback", "PUT", f"/v1/feedback/votes/{uuid.UUID(int=1)}"),
    Wave("no key, prompt", "POST", "/v1/prompt"),
    Wave("no key, admin", "POST", "/admin/keys"),
    Wave("no key, chat", "POST", "/v1/chat/completions"),
    Wave("wrong key, feedback", "PUT", f"/v1/feedback/votes/{uuid.UUID(int=1)}", "wrong"),
    Wave("a key, feedback", "PUT", f"/v1/feedback/votes/{uuid.UUID(int=1)}", KEY),
    Wave("a key, prompt", "POST", "/v1/prompt", KEY),
    Wave("a key, chat", "POST", "/v1/chat/completions", KEY),
)


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return float(status.partition("VmRSS:")[2].split()[0]) / 1024


async def parked(port: int, wave: Wave, sent: list[int], gone: asyncio.Event) -> str:
    """Send all but the end of a body, wait until it is time to go, and tell what has been answered."""
    authorization = f"Authorization: Bearer {wave.key}\r\n" if wave.key else ""
    head = (
        f"{wave.method} {wave.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError):
            writer.write(head.encode())
            for _ in range(SENT_BYTES // 100_000):
                writer.write(b" " * 100_000)
                await writer.drain()
        sent.append(1)
        await gone.wait()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.1):
                line = await reader.readline()
            return line.split()[1].decode() if line else "closed"
        return "nothing"
    finally:
        writer.close()


async def measure(port: int, pid: int, wave: Wave, connections: int) -> tuple[float, float, float, str]:
    """Memory in MB before, at its peak and afterwards, and what the clients were told."""
    before = peak = resident_mb(pid)
    sent: list[int] = []
    gone = asyncio.Event()
    clients = [asyncio.create_task(parked(port, wave, sent, gone)) for _ in range(connections)]
    end = time.monotonic() + PARKED_S
    while len(sent) < connections and time.monotonic() < end:
        await asyncio.sleep(0.05)
        peak = max(peak, resident_mb(pid))
    gone.set()
    told = Counter(await asyncio.gather(*clients))
    end = time.monotonic() + SETTLED_S
    while (after := resident_mb(pid)) > before + 1 and time.monotonic() < end:
        await asyncio.sleep(0.2)
    return before, peak, after, ", ".join(f"{count} x {answer}" for answer, count in told.items())


def main() -> int:
    """Measure, print the table, and say whether the aims are met."""
    arguments = argparse.ArgumentParser(description="Memory of parked bodies.")
    arguments.add_argument("--connections", type=int, default=75)
    arguments.add_argument("--limit-mb", type=float, default=100.0)
    given = arguments.parse_args()
    port = free_port()
    missed = []
    with tempfile.TemporaryDirectory() as root:
        env = {"KODOLLY_STATE_DIR": root, "KODOLLY_API_KEYS": f'["{KEY}"]', "PYTHONPATH": os.fspath(ROOT)}
        argv = kodolly("gateway", "--port", str(port), "--static", "m=http://127.0.0.1:9")
        health = f"http://127.0.0.1:{port}/healthz"
        with running(argv, Path(root) / "gateway.log", health, env, Path(root)) as gateway:
            start = resident_mb(gateway.pid)
            print(f"{'wave':22} {'before MB':>10} {'peak MB':>10} {'after MB':>10}  answered")
            for wave in WAVES:
                before, peak, after, told = asyncio.run(measure(port, gateway.pid, wave, given.connections))
                print(f"{wave.name:22} {before:10.0f} {peak:10.0f} {after:10.0f}  {told}", flush=True)
                is_stranger = wave.key != KEY
                if after - start > given.limit_mb or (is_stranger and peak - before > given.limit_mb):
                    missed.append(wave.name)
    print(f"more than {given.limit_mb:.0f} MB taken or kept: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
