"""How long the worst inputs of clients and upstreams hold the event loop of a gateway and of the web UI.

    python benchmarks/stalls.py [--limit-ms 50] [--only WORD]

Starts the real gateway before an upstream that sends the worst. Each row has the longest turn of its event
loop while one input is on its way (see loop_watch.py): `stall` is the CPU time of that turn, which is what
the limit is for, since other programs on the machine cannot add to it. Beside it stand the longest turn as it
was held (wall time less that in which the loop's thread, or another one that may have had Python's lock,
waited for a core: a call that blocks shows there), its wall time, the slowest answer of /healthz meanwhile,
and how far the peak of the gateway's memory lies above what it had before. What the web UI does is done in
this process, by its own functions. Ends with 1 when a row is above the limit. Needs Linux.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from mmap import mmap
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

import msgspec  # noqa: E402

from benchmarks.loop_watch import FIGURES, LoopTurn, LoopWatch, longest_turn, shared_figures  # noqa: E402
from benchmarks.worst_inputs import (  # noqa: E402
    BLOCK,
    CHAT,
    CHUNK,
    EVENT,
    Answer,
    Request,
    answers,
    requests,
    streams,
)
from benchmarks.worst_texts import markdown_texts  # noqa: E402
from common.feedback import Sampling  # noqa: E402
from common.serve import spare_collections  # noqa: E402
from tests.support.processes import free_port, running  # noqa: E402
from webui.answer_feed import Asked, reply  # noqa: E402
from webui.answering import Grown, answer  # noqa: E402
from webui.conversation import Setup, Side  # noqa: E402
from webui.gateway_client import GatewayClient  # noqa: E402

HARMLESS = Answer(EVENT + CHUNK + b"data: [DONE]\n\n")


class Worst:
    """An upstream that sends whatever it was told, by hand, so that no server stands between."""

    def __init__(self) -> None:
        self.answer = HARMLESS

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    listed = json.dumps(
                        {"object": "list", "data": [{"id": "m", "max_model_len": 9}]}
                    ).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(listed), listed))
                    continue
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                while length > 0:
                    length -= len(await reader.read(min(length, BLOCK)))
                await self._send(writer)
                break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        told = self.answer
        writer.write(b"HTTP/1.1 %b\r\n%b" % (told.status, told.first))
        for _ in range(told.times):
            writer.write(told.again)
            await writer.drain()
        writer.write(told.last)
        await writer.drain()


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


class Probe(threading.Thread):
    """Asks /healthz again and again; keeps the slowest answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.over = port, threading.Event()
        self.slowest_s = 0.0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self.over.wait(0.005):
            began = time.monotonic()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class Row:
    """What one input did."""

    turn: LoopTurn
    healthz_s: float
    memory_mb: float
    outcome: str

    def __str__(self) -> str:
        times = (self.turn.cpu_s, self.turn.held_s, self.turn.wall_s, self.healthz_s)
        return " ".join(f"{seconds * 1e3:8.1f}" for seconds in times) + (
            f" {self.memory_mb:8.1f}  {self.outcome}"
        )


@dataclass(frozen=True, slots=True)
class Gateway:
    """The one that is measured."""

    port: int
    pid: int
    figures: mmap

    def measured(self, act: Callable[[], str]) -> Row:
        """One row: `act` sends the input and says what became of it."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = self._memory_kb("VmRSS")
        probe = Probe(self.port)
        probe.start()
        time.sleep(0.02)
        longest_turn(self.figures)
        outcome = act()
        time.sleep(0.02)
        turn = longest_turn(self.figures)
        probe.over.set()
        probe.join()
        return Row(turn, probe.slowest_s, (self._memory_kb("VmHWM") - before) / 1024, outcome)

    def _memory_kb(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition(f"{name}:")[2].split()[0])

    def ask(self, request: Request) -> str:
        """Send it and read the answer to its end; the status."""
        if request.raw:
            return self._send_raw(request.raw)
        method, _, path = request.path.rpartition(" ")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method or "POST", path, request.body, request.headers)
            answer = connection.getresponse()
            while answer.read(BLOCK):
                pass
            return str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    def _send_raw(self, raw: bytes) -> str:
        """Send bytes and read for as long as anything comes; the first line."""
        came = b""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.settimeout(2.0)
            reader = threading.Thread(target=lambda: _sent(connection, raw), daemon=True)
            reader.start()
            with contextlib.suppress(OSError):
                while piece := connection.recv(BLOCK):
                    came = came or piece
        return came.partition(b"\r\n")[0].decode("latin-1") or "nothing"


def _sent(connection: socket.socket, raw: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(raw)


def watched(act: Callable[[], Awaitable[object]]) -> Row:
    """One row of what is done in an event loop of this process."""
    figures = bytearray(FIGURES.size)

    async def run() -> None:
        LoopWatch(figures).start()
        await asyncio.sleep(0.01)
        await act()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    return Row(longest_turn(figures), 0.0, 0.0, "drawn")


SETUP = Setup(model="m", sampling=Sampling(temperature=1.0, top_p=1.0, max_tokens=9))


async def tell(text: str) -> None:
    """Tell a page of an answer to `text` that is `text`, as the web UI does; the browser draws it."""
    side = Side().ask(text, SETUP).with_last(answer=text, state="done")
    told = reply(Asked(side.turns[-1].id, None), Grown(side.turns[-1], 0.0, hidden=False), "ko")
    msgspec.json.encode(told)


async def fetch(client: GatewayClient) -> None:
    """Fetch an answer and tell a page of all of it whenever it grows: more than the web UI does."""
    try:
        async for side, _ in answer(client, Side().ask("a", SETUP), asyncio.Event()):
            await tell(side.turns[-1].answer)
    finally:
        await client.aclose()


def fetched(worst: Worst, told: Answer, url: str) -> Row:
    """The row of an answer that the web UI fetches."""
    worst.answer = told
    return watched(partial(fetch, GatewayClient(url)))


def flooded(gateway: Gateway, worst: Worst, told: Answer) -> Row:
    """The row of what an upstream sends; a stream is asked for where it sends one."""
    worst.answer = told
    asked = {"model": "m", "messages": [], "stream": b"event-stream" in told.first}
    return gateway.measured(partial(gateway.ask, Request(json.dumps(asked).encode(), told.path)))


def asked(gateway: Gateway, worst: Worst, request: Request) -> Row:
    """The row of what a client sends."""
    worst.answer = HARMLESS
    return gateway.measured(partial(gateway.ask, request))


def rows(gateway: Gateway, worst: Worst, url: str) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Every input by name, and how it is measured."""
    for name, request in requests():
        yield f"request: {name}", partial(asked, gateway, worst, request)
    for name, told in answers():
        yield f"upstream: {name}", partial(flooded, gateway, worst, told)
    for name, text in markdown_texts().items():
        yield f"web UI: {name}", partial(watched, partial(tell, text))
    for name, told in streams().items():
        if told.path == CHAT:
            yield f"web UI: stream of {name}", partial(fetched, worst, told, url)


def settings(engine: str) -> dict[str, str]:
    """The gateway's: a worker, an alias of it, and a provider whose models take another dialect."""
    provider = {"name": "openai", "base_url": f"{engine}/v1", "key_env": "KEY", "models": ["gpt-5-nano"]}
    return {
        "KEY": "k",
        "KODOLLY_GATEWAY_ALIASES": json.dumps({"alias": "m"}),
        "KODOLLY_GATEWAY_EXTERNAL": json.dumps([provider]),
        "KODOLLY_GATEWAY_ACCESS_LOG": "false",
        "KODOLLY_GATEWAY_RESUME_STREAMS": "true",
        "PYTHONPATH": os.fspath(ROOT),
    }


@contextmanager
def started(root: Path, engine: str) -> Iterator[Gateway]:
    """The gateway, with a watch in its event loop."""
    port, figures = free_port(), root / "figures"
    shared = shared_figures(figures, new=True)
    watch = os.fspath(Path(__file__).with_name("loop_watch.py"))
    argv = [sys.executable, watch, os.fspath(figures), "gateway", "--port", str(port)]
    argv += ["--static", f"m={engine}"]
    env = settings(engine) | {"KODOLLY_STATE_DIR": os.fspath(root)}
    with running(argv, root / "gateway.log", f"http://127.0.0.1:{port}/healthz", env, root) as process:
        yield Gateway(port, process.pid, shared)


def main() -> int:
    """Measure, print the table, and say whether all rows are within the limit."""
    arguments = argparse.ArgumentParser(description="Longest turns of the worst inputs.")
    arguments.add_argument("--limit-ms", type=float, default=50.0)
    arguments.add_argument("--only", default="", metavar="WORD", help="only inputs with this in their name")
    given = arguments.parse_args()
    engine, over, worst_row = free_port(), [], 0.0
    spare_collections()  # as each server does when it is up; what the web UI does is done in this process
    url = f"http://127.0.0.1:{engine}"
    with (
        tempfile.TemporaryDirectory() as root,
        upstream(engine) as worst,
        started(Path(root), url) as gateway,
    ):
        titles = ("stall ms", "held ms", "wall ms", "healthz", "peak MB")
        print(f"{'input':44} {' '.join(f'{title:>8}' for title in titles)}  outcome")
        for name, measure in rows(gateway, worst, url):
            if given.only not in name:
                continue
            row = measure()
            print(f"{name:44} {row}", flush=True)
            worst_row = max(worst_row, row.turn.cpu_s * 1e3)
            if row.turn.cpu_s * 1e3 > given.limit_ms:
                over.append(name)
    print(
        f"longest {worst_row:.1f} ms; {len(over)} over {given.limit_ms:.0f} ms: {', '.join(over) or 'none'}"
    )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
