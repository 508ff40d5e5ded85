"""Clients that stop reading: little is kept for each, the engine's connection waits, the rest is not lost.

The figures are printed (pytest -s shows them).
"""

import asyncio
import base64
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

pytestmark = pytest.mark.slow

READERS = 20
TOKENS = 80_000
"""About 12 MB a stream: far more than sockets and buffers between engine and reader hold."""
KEPT_KB = 600
"""For a reader that takes nothing: what is under its connection's high-water mark (64 KB) and one read of the
engine's connection (256 KB in uvloop) that goes over it, twice while it is framed."""


@dataclass(frozen=True)
class Stack:
    port: int
    pid: int
    engine: str
    log: Path

    def engine_log(self) -> dict[str, int]:
        seen: dict[str, int] = httpx2.get(f"{self.engine}/_script/log", trust_env=False).json()
        return seen

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def in_flight(self) -> float:
        page = httpx2.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        found = re.findall(r"^kodolly_gateway_upstream_in_flight\S* (\S+)$", page, re.MULTILINE)
        return sum(map(float, found))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    port = free_port()
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_GATEWAY_IDLE_TIMEOUT_S": "2"}
    log = tmp_path / "gateway.log"
    with ExitStack() as started:
        engine = started.enter_context(scripted_engine(tmp_path, "dolly"))
        argv = kodolly("gateway", "--port", str(port), "--static", f"dolly={engine}")
        process = started.enter_context(running(argv, log, f"http://127.0.0.1:{port}/healthz", env, tmp_path))
        yield Stack(port, process.pid, engine, log)


def ask(port: int) -> socket.socket:
    """A streamed request on a connection that can hold little and is not read."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", port))
    messages = [{"role": "user", "content": "안녕"}]
    asked = {
        "model": "dolly",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body = json.dumps(asked, ensure_ascii=False).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    reader.sendall(head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    return reader


def read_all(reader: socket.socket) -> bytes:
    parts = []
    while part := reader.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def unchunked(answer: bytes) -> bytes:
    _, _, rest = answer.partition(b"\r\n\r\n")
    body: list[bytes] = []
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not (length := int(size, 16)):
            return b"".join(body)
        body.append(rest[:length])
        rest = rest[length + 2 :]


def recorded() -> str:
    """A long answer as vLLM sends it, for the scripted engine to replay."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "dolly"}
    ends = [None] * (TOKENS - 1) + ["stop"]
    choices = [
        {"index": 0, "delta": {"content": f" {n}번째"}, "finish_reason": end} for n, end in enumerate(ends)
    ]
    events = [json.dumps(head | {"choices": [choice]}, ensure_ascii=False) for choice in choices]
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])


def wait_until_still(stack: Stack) -> None:
    """Until the gateway's memory has not grown for twenty looks in a row, or a stream has ended."""
    most, still = 0, 0

    def is_still() -> bool:
        nonlocal most, still
        now = stack.resident_kb()
        still = still + 1 if now <= most else 0
        most = max(most, now)
        return still >= 20 or stack.engine_log()["running"] < READERS

    wait_for(is_still, 60, what="the gateway to hold back")


async def test_readers_that_stop_hold_the_engine_back_and_lose_nothing(stack: Stack) -> None:
    stream = recorded().encode()
    payload = {"mode": "replay", "replay": base64.b64encode(stream).decode()}
    httpx2.post(f"{stack.engine}/_script", json=payload, trust_env=False).raise_for_status()
    with ask(stack.port) as first:  # what a first request loads is loaded
        await asyncio.to_thread(read_all, first)
    before = stack.resident_kb()
    readers = [await asyncio.to_thread(ask, stack.port) for _ in range(READERS)]
    try:
        wait_for(lambda: stack.engine_log()["running"] == READERS, 30, what="all streams")
        await asyncio.to_thread(wait_until_still, stack)
        kept = stack.resident_kb() - before
        print(
            f"\n{READERS} readers that stopped in streams of {len(stream) >> 10:,} KB: "
            f"{kept / READERS:.0f} KB kept for each in the gateway"
        )
        assert stack.engine_log()["running"] == READERS, "nothing held the engine back"
        assert kept < READERS * KEPT_KB
        assert stack.in_flight() == READERS

        half = READERS // 2
        for gone in readers[half:]:
            gone.close()
        wait_for(lambda: stack.engine_log()["running"] == half, 30, what="the cancels")
        answers = await asyncio.gather(*(asyncio.to_thread(read_all, reader) for reader in readers[:half]))
    finally:
        for reader in readers:
            reader.close()
    for answer in answers:
        assert unchunked(answer) == stream
    wait_for(lambda: stack.in_flight() == 0, 10, what="no request in flight")
    assert "Traceback" not in stack.log.read_text(encoding="utf-8")
