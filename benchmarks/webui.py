"""What the web UI's process spends on a token of an answer, beside a minimal gr.ChatInterface.

python benchmarks/webui.py [--rounds 3] [--json FILE]

A scripted gateway sends each answer of 150 tokens, one each 20 ms. Ours is driven as the chat page drives
it: its listener, then `GET /page/answers` as often as `answers.js` asks, then the listener of an ended
answer. Gradio's is driven by its own event stream. CPU is the page's process alone, from /proc; the time
before the first text is that beyond asking the gateway directly, at the same number of streams. With
Chromium, an idle tab's requests are counted for 10 s, and how long an empty browser takes until a question
can go out from the chat page. Ends with 1 when an aim falls short. Needs Linux.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from tests.support.processes import free_port, running  # noqa: E402
from tests.support.webui_driver import CHROMIUM, WebUi, chromium  # noqa: E402
from tests.support.webui_stage import gateway_command, webui_command  # noqa: E402

MODEL, TOKENS = "steady", 150
STREAMS = (2, 30)
MOST_CPU_MS, MOST_ADDED_MS, MOST_IDLE, MOST_USABLE_S = 0.3, 50.0, 0, 1.5
IDLE_S = 10.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """Of one page at one number of streams."""

    cpu_ms_per_token: float
    first_s: float
    """Median time from asking to the first text."""


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class GradioPage:
    """The listeners of a Gradio page, called over HTTP as its browser calls them."""

    def __init__(self, client: httpx2.AsyncClient, config: dict[str, Any]) -> None:
        self.client, self.session = client, uuid.uuid4().hex
        self.components = {part["id"]: part["props"] for part in config["components"]}
        self.listeners = config["dependencies"]

    def listener(self, elem_id: str, event: str) -> dict[str, Any]:
        """The listener of an event of the component `elem_id`."""
        (target,) = [key for key, props in self.components.items() if props.get("elem_id") == elem_id]
        found: dict[str, Any] = next(
            one for one in self.listeners if [target, event] in one["targets"] and one["backend_fn"]
        )
        return found

    async def call(self, listener: dict[str, Any], values: dict[str, Any]) -> "asyncio.Queue[str | None]":
        """Call a listener with `values` by elem_id, else what its inputs hold; its events, then None."""
        given = [self._value(key, values) for key in listener["inputs"]]
        asked = {"data": given, "fn_index": listener["id"], "session_hash": self.session, "trigger_id": None}
        events: asyncio.Queue[str | None] = asyncio.Queue()
        (await self.client.post("/gradio_api/queue/join", json=asked)).raise_for_status()
        self.reading = asyncio.create_task(self._read(events))
        return events

    def _value(self, key: int, values: dict[str, Any]) -> Any:
        props = self.components[key]
        return values.get(props.get("elem_id") or "", props.get("value"))

    async def _read(self, events: "asyncio.Queue[str | None]") -> None:
        address = f"/gradio_api/queue/data?session_hash={self.session}"
        async with self.client.stream("GET", address) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    events.put_nowait(line)
                if "close_stream" in line:
                    break
        events.put_nowait(None)


async def finished(events: "asyncio.Queue[str | None]") -> str:
    """All that a listener said."""
    said = ""
    while (line := await events.get()) is not None:
        said += line
    return said


async def ours(url: str, config: dict[str, Any]) -> float:
    """One answer on the chat page; returns after how many seconds its first text was there."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        client.cookies.update((await client.get("/chat")).cookies)
        page, began = GradioPage(client, config), time.monotonic()
        values = {"chat-question": "질문", "chat-model": MODEL, "chat-conversation": ""}
        said = await finished(await page.call(page.listener("chat-send", "click"), values))
        answer_id = re.search(r'running=\\"([0-9a-f-]{36})\\"', said)
        if answer_id is None:
            raise RuntimeError(f"The page did not begin with an answer: {said[-500:]}")
        first_s = await _feed(client, answer_id[1], began)
        await finished(await page.call(page.listener("chat-settled", "click"), values))
        return first_s


async def _feed(client: httpx2.AsyncClient, answer_id: str, began: float) -> float:
    asked, first_s = answer_id, 0.0
    while True:
        told = (await client.get("/page/answers", params={"a": asked})).json()
        (answer,) = told["answers"]
        if answer["text"] and not first_s:
            first_s = time.monotonic() - began
        if answer["state"] != "running":
            return first_s
        asked = f"{answer_id}~{answer['to'][0]}~{answer['to'][1]}"
        await asyncio.sleep(told["wait_ms"] / 1000)


async def plain_gradio(url: str, config: dict[str, Any]) -> float:
    """The same on the minimal page, by its API: what its browser does costs it more."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        await client.get("/")
        page, began, first_s = GradioPage(client, config), time.monotonic(), 0.0
        (chat,) = [one for one in page.listeners if one["api_visibility"] == "public"]
        # The question is the first input; the other is what was said before.
        page.components[chat["inputs"][0]]["value"] = "질문"
        events = await page.call(chat, {})
        while (line := await events.get()) is not None:
            if not first_s and "process_generating" in line:
                first_s = time.monotonic() - began
        return first_s


async def direct(url: str, _config: dict[str, Any]) -> float:
    """The gateway itself."""
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        began, first_s = time.monotonic(), 0.0
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "질문"}]}
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                if not first_s and "content" in line:
                    first_s = time.monotonic() - began
        return first_s


Ask = Callable[[str, dict[str, Any]], Awaitable[float]]


async def measured(ask: Ask, url: str, pid: int, streams: int) -> Figures:
    """`streams` answers at once."""
    config: dict[str, Any] = {}
    if ask is not direct:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            config = (await client.get("/config")).json()
        await ask(url, config)  # the first of a process loads what the others find
    before = cpu_s(pid)
    firsts = await asyncio.gather(*[ask(url, config) for _ in range(streams)])
    return Figures((cpu_s(pid) - before) * 1000 / (streams * TOKENS), statistics.median(firsts))


def serve_plain(port: int, gateway: str) -> None:
    """The minimal page: what a Gradio user writes."""
    import gradio as gr

    async def respond(message: str, _history: list[Any]) -> Any:
        said = ""
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": message}]}
        async with (
            httpx2.AsyncClient(timeout=60) as client,
            client.stream("POST", f"{gateway}/v1/chat/completions", json=body) as response,
        ):
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        said += choice["delta"].get("content") or ""
                        yield said

    page = gr.ChatInterface(respond, concurrency_limit=100, analytics_enabled=False)
    page.queue().launch(server_port=port, quiet=True, ssr_mode=False)


@contextmanager
def pages(folder: Path) -> Iterator[list[tuple[str, Ask, str, int]]]:
    """Name, driver, address and process of each of the three."""
    ports = [free_port() for _ in range(3)]
    gateway, mine, plain = (f"http://127.0.0.1:{port}" for port in ports)
    here = [sys.executable, __file__, "--plain", str(ports[2]), gateway]
    env = {"KODOLLY_STATE_DIR": str(folder / "state"), "GRADIO_ANALYTICS_ENABLED": "False"}
    with (
        running(gateway_command(ports[0]), folder / "gateway.log", f"{gateway}/script") as scripted,
        running(webui_command(ports[1], gateway), folder / "webui.log", f"{mine}/healthz", env) as webui,
        running(here, folder / "plain.log", f"{plain}/config", env) as minimal,
    ):
        yield [
            ("gateway", direct, gateway, scripted.pid),
            ("kodolly webui", ours, mine, webui.pid),
            ("gr.ChatInterface", plain_gradio, plain, minimal.pid),
        ]


@dataclass(frozen=True)
class Tab:
    """Of the chat page in Chromium."""

    idle_requests: int
    """In IDLE_S seconds after an answer."""
    usable_s: list[float]
    """From the address to a page from which a question goes out, each in a browser that has nothing of it."""


def in_chromium(url: str, rounds: int) -> Tab | None:
    """None without Chromium."""
    if not Path(CHROMIUM).exists():
        return None
    with chromium() as browser:
        usable = [usable_s(browser, url) for _ in range(rounds)]
        ui = WebUi(browser, url).open("/chat")
        ui.pick("fast", "chat")
        ui.ask("질문", "chat")
        ui.wait_finished("chat")
        ui.page.wait_for_load_state("networkidle")
        asked: list[str] = []
        ui.page.on("request", lambda request: asked.append(request.url))
        ui.page.wait_for_timeout(IDLE_S * 1000)
        ui.close()
    return Tab(len(asked), usable)


def usable_s(browser: Browser, url: str) -> float:
    """Seconds until the page is usable."""
    ui = WebUi(browser, url)
    began = time.monotonic()
    ui.page.goto(f"{url}/chat", wait_until="commit")
    ui.page.locator("html[data-kd-ready]").wait_for()
    taken = time.monotonic() - began
    ui.close()
    return taken


Rounds = dict[tuple[str, int], list[Figures]]


def spread(values: list[float], unit: str) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f}) {unit}"


def short_of(rounds: Rounds, tab: Tab | None) -> list[str]:
    """Prints every figure; returns the aims that were missed."""
    return streams_short_of(rounds) + tab_short_of(tab)


def streams_short_of(rounds: Rounds) -> list[str]:
    """The same of the answers."""
    missed: list[str] = []
    for streams in STREAMS:
        gateway = [one.first_s for one in rounds["gateway", streams]]
        for name in ("kodolly webui", "gr.ChatInterface"):
            found = rounds[name, streams]
            cpu = [one.cpu_ms_per_token for one in found]
            added = [(one.first_s - own) * 1000 for one, own in zip(found, gateway, strict=True)]
            print(
                f"{streams:3} streams  {name:17} {spread(cpu, 'ms/token')}  first text +{spread(added, 'ms')}"
            )
            if name != "kodolly webui":
                continue
            if statistics.median(cpu) > MOST_CPU_MS:
                missed.append(
                    f"CPU at {streams} streams: {statistics.median(cpu):.2f} > {MOST_CPU_MS} ms a token"
                )
            if streams == max(STREAMS) and statistics.median(added) > MOST_ADDED_MS:
                missed.append(f"first text: +{statistics.median(added):.0f} > {MOST_ADDED_MS:.0f} ms")
    return missed


def tab_short_of(tab: Tab | None) -> list[str]:
    """The same of the page in a browser."""
    if tab is None:
        print("no Chromium: no figures of a tab")
        return []
    print(f"idle tab: {tab.idle_requests} requests in {IDLE_S:.0f} s")
    print(f"page usable after {spread(tab.usable_s, 's')}, cold")
    missed: list[str] = []
    if tab.idle_requests > MOST_IDLE:
        missed.append(f"idle tab: {tab.idle_requests} requests > {MOST_IDLE}")
    if statistics.median(tab.usable_s) > MOST_USABLE_S:
        missed.append(f"page usable: {statistics.median(tab.usable_s):.1f} > {MOST_USABLE_S} s")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plain", nargs=2, metavar=("PORT", "GATEWAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain:
        serve_plain(int(given.plain[0]), given.plain[1])
        return 0
    rounds: Rounds = {}
    with tempfile.TemporaryDirectory() as folder, pages(Path(folder)) as served:
        for _ in range(given.rounds):
            for streams in STREAMS:
                for name, ask, url, pid in served:
                    found = asyncio.run(measured(ask, url, pid, streams))
                    rounds.setdefault((name, streams), []).append(found)
        tab = in_chromium(served[1][2], given.rounds)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    missed = short_of(rounds, tab)
    if given.json:
        told = {
            f"{name} {streams}": [asdict(one) for one in found] for (name, streams), found in rounds.items()
        }
        given.json.write_text(json.dumps(told | {"tab": asdict(tab) if tab else None}, indent=1))
    print("\n".join(f"short of the aim: {words}" for words in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
