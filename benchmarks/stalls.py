"""How long the worst inputs of clients and upstreams hold up everybody else in a gateway and in the web UI.

    python benchmarks/stalls.py [--limit-ms 50] [--only WORD]

Starts the real gateway before an upstream that sends the worst, and asks /healthz every few milliseconds
while each input is on its way. A row shows the slowest answer and the CPU time that the gateway spent in the
same moments: on a machine that others use too, an answer waits for a core without the gateway's doing, so the
stall is the smaller of the two. Markdown is drawn here, as the web UI does in its event loop. Ends with 1
when a stall is longer than the limit. Needs Linux.
"""

import argparse
import asyncio
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from tests.processes import free_port, kodolly, running  # noqa: E402
from webui.safe_markdown import safe_markdown  # noqa: E402

BODY_BYTES = 15_800_000
"""Just below the largest body that the gateway takes."""
FLOOD_BYTES = 96 * 2**20
"""What an upstream sends that never ends."""
BLOCK = 2**18
EVENT = b"Content-Type: text/event-stream\r\n\r\n"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


def client_bodies() -> dict[str, bytes]:
    """Requests of the largest size, each of one thing alone."""
    start = b'{"model":"m","stream":true,"stream_options":{},"messages":[{"role":"user","content":"a"}]'

    def filled(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
        room = BODY_BYTES - len(start) - len(before) - len(after) - 1
        return start + before + piece * (room // len(piece)) + after + b"}"

    half = (BODY_BYTES - len(start) - 8) // 2
    return {
        "a string": filled(b"a", b',"x":"', b'"'),
        "numbers": filled(b"1,", b',"x":[', b"1]"),
        "the same key": filled(b',"":0'),
        "the key model": filled(b',"model":"m"'),
        "escaped keys": filled(b',"\\u0061\\u0061":0'),
        "escapes in a string": filled(b"\\n", b',"x":"', b'"'),
        "empty objects": filled(b"{},", b',"x":[', b"{}]"),
        "empty strings": filled(b'"",', b',"x":[', b'""]'),
        "white space": filled(b" ", b',"x":', b"1"),
        "depth": start + b',"x":' + b"[" * half + b"]" * half + b"}",
        "many messages": b'{"model":"m","messages":[' + b"{}," * (BODY_BYTES // 3 - 30) + b"{}]}",
    }


def upstream_answers() -> dict[str, tuple[bytes, bytes]]:
    """What an upstream sends first, and what it then repeats."""
    plain = b"Content-Type: application/json\r\n\r\n"
    return {
        "an endless event": (EVENT + CHUNK + b"data: ", b"x" * BLOCK),
        "an endless event of quotes": (EVENT + CHUNK + b"data: ", b'"error' * (BLOCK // 6)),
        "an endless answer": (plain + b'{"x":"', b"x" * BLOCK),
        "an endless header": (b"X-A: ", b"a" * BLOCK),
        "endless header lines": (b"", b"a:b\r\n" * (BLOCK // 5)),
        "tiny events": (EVENT, b"data:1\n\n" * (BLOCK // 8)),
        "tiny comments": (EVENT + CHUNK, b":\n\n" * (BLOCK // 3)),
        "empty lines": (EVENT + CHUNK, b"\n" * BLOCK),
        "events with an error word": (EVENT + CHUNK, b'data:{"error":0}\n\n' * (BLOCK // 18)),
        "counts": (EVENT + CHUNK, b'data:{"choices":[],"usage":{}}\n\n' * (BLOCK // 32)),
        "CRLF": (EVENT, CHUNK.replace(b"\n", b"\r\n") * (BLOCK // len(CHUNK))),
        "lone CR": (EVENT + CHUNK, b"\r" * BLOCK),
        "many data lines": (EVENT + CHUNK, b"data:1\n" * (BLOCK // 14) + b"data:1\n\n"),
    }


class Worst:
    """An upstream that sends whatever it was told, by hand, so that no server stands between."""

    def __init__(self) -> None:
        self.first, self.again = EVENT + CHUNK + b"data: [DONE]\n\n", b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/v1/models" in head:
                listed = json.dumps({"object": "list", "data": [{"id": "m", "max_model_len": 9}]}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(listed), listed))
            elif head.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            else:
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                while length > 0:
                    length -= len(await reader.read(min(length, BLOCK)))
                writer.write(b"HTTP/1.1 200 OK\r\n" + self.first)
                for _ in range(FLOOD_BYTES // BLOCK if self.again else 0):
                    writer.write(self.again)
                    await writer.drain()
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@contextmanager
def upstream(port: int) -> Iterator[Worst]:
    """The upstream in a thread of its own."""
    worst, loop = Worst(), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(worst.serve, "127.0.0.1", port))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield worst
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, in seconds, from the scheduler's own nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class Probe(threading.Thread):
    """Asks /healthz again and again; keeps the longest stall."""

    def __init__(self, port: int, pid: int) -> None:
        super().__init__(daemon=True)
        self.port, self.pid, self.over = port, pid, threading.Event()
        self.worst_s = self.worst_answer_s = 0.0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.over.wait(0.005):
            spent, began = cpu_s(self.pid), time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            answer = time.monotonic() - began
            self.worst_answer_s = max(self.worst_answer_s, answer)
            self.worst_s = max(self.worst_s, min(answer, cpu_s(self.pid) - spent))


def ask(port: int, body: bytes) -> str:
    """One request to its end; what became of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        while answer.read(BLOCK):
            pass
        return str(answer.status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def measured(port: int, pid: int, body: bytes) -> tuple[float, float, str]:
    """Longest stall and slowest answer while `body` is asked, in ms, and the outcome."""
    probe = Probe(port, pid)
    probe.start()
    outcome = ask(port, body)
    probe.over.set()
    probe.join()
    return probe.worst_s * 1e3, probe.worst_answer_s * 1e3, outcome


def markdown_texts() -> dict[str, str]:
    """300,000 characters each of what Markdown readers find hard."""
    lengths = range(1, 775)
    return {
        "ticks of all lengths": "x" + "".join("`" * n + "a" for n in reversed(lengths)),
        "open tags": "<" * 300_000,
        "open pictures": "![" * 150_000,
        "open fences": "```\n" * 75_000,
        "ticks and lines": "`a\n" * 100_000,
        "emphasis": "*a_ " * 75_000,
    }


def drawn(text: str) -> tuple[float, float, str]:
    """The CPU time of drawing `text` once, in ms."""
    began = time.thread_time()
    safe_markdown(text)
    spent = (time.thread_time() - began) * 1e3
    return spent, spent, "drawn"


Measure = Callable[[], tuple[float, float, str]]
"""Longest stall, slowest answer (ms), outcome."""


def flooded(worst: Worst, sent: tuple[bytes, bytes], port: int, pid: int) -> tuple[float, float, str]:
    """The same while the upstream sends the worst; a stream is asked for where it sends one."""
    worst.first, worst.again = sent
    asked = {"model": "m", "messages": [], "stream": b"event-stream" in sent[0]}
    return measured(port, pid, json.dumps(asked).encode())


def cases(port: int, pid: int, worst: Worst) -> Iterator[tuple[str, Measure]]:
    """Every input by name, and how it is measured."""
    for name, body in client_bodies().items():
        yield f"request: {name}", partial(measured, port, pid, body)
    for name, sent in upstream_answers().items():
        yield f"upstream: {name}", partial(flooded, worst, sent, port, pid)
    for name, text in markdown_texts().items():
        yield f"markdown: {name}", partial(drawn, text)


def main() -> int:
    """Measure, print the table, and say whether all stalls are within the limit."""
    arguments = argparse.ArgumentParser(description="Longest stalls of the worst inputs.")
    arguments.add_argument("--limit-ms", type=float, default=50.0)
    arguments.add_argument("--only", default="", metavar="WORD", help="only inputs with this in their name")
    given = arguments.parse_args()
    port, engine = free_port(), free_port()
    over = []
    with tempfile.TemporaryDirectory() as root, upstream(engine) as worst:
        env = {"KODOLLY_STATE_DIR": root, "KODOLLY_GATEWAY_ACCESS_LOG": "false"}
        env["PYTHONPATH"] = os.fspath(ROOT)
        argv = kodolly("gateway", "--port", str(port), "--static", f"m=http://127.0.0.1:{engine}")
        health = f"http://127.0.0.1:{port}/healthz"
        with running(argv, Path(root) / "gateway.log", health, env, Path(root)) as gateway:
            print(f"{'input':42} {'stall ms':>9} {'slowest /healthz ms':>20}  outcome")
            for name, measure in cases(port, gateway.pid, worst):
                if given.only not in name:
                    continue
                stall_ms, answer_ms, outcome = measure()
                print(f"{name:42} {stall_ms:9.1f} {answer_ms:20.1f}  {outcome}", flush=True)
                if stall_ms > given.limit_ms:
                    over.append(name)
    print(f"{len(over)} over {given.limit_ms:.0f} ms: {', '.join(over) or 'none'}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
