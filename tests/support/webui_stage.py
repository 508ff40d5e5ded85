"""What the web UI's browser tests stand on: its process, a scripted gateway behind it, and Chromium."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Browser

from tests.support.processes import free_port, kodolly, running, wait_for
from tests.support.programs import absent
from tests.support.webui_driver import CHROMIUM, WebUi, chromium
from webui.session import COOKIE

# Longest wait for something to arrive at the gateway, in seconds.
LIMIT_S = 20.0
ADMIN = {"cookie": f"{COOKIE}=stage-{'a' * 20}"}
"""A browser of the stage's own; without a login anybody administers."""


@dataclass(frozen=True)
class Stage:
    """The web UI and the gateway behind it, each a process."""

    url: str
    gateway: str
    environment: dict[str, str]
    """With which a further web UI process shares the store."""

    def script(self) -> dict[str, Any]:
        """What has arrived at the gateway."""
        arrived: dict[str, Any] = httpx2.get(f"{self.gateway}/script").json()
        return arrived

    def open_gate(self) -> None:
        httpx2.post(f"{self.gateway}/script/open")

    def reset(self, **world: Any) -> None:
        """Another world at the gateway. The web UI has heard of it on return: for a second it goes by what
        it heard last."""
        httpx2.post(f"{self.gateway}/script/reset", json=world).raise_for_status()
        there = [model["id"] for model in httpx2.get(f"{self.gateway}/v1/status").json()["models"]]

        def heard() -> bool:
            told = httpx2.get(f"{self.url}/study/api/studies", headers=ADMIN).json()
            return bool(told["models"] == there)

        wait_for(heard, LIMIT_S, what="the web UI to hear of the gateway's models")


def webui_command(port: int, gateway: str) -> list[str]:
    """The command line of the web UI."""
    return kodolly("webui", "--port", str(port), "--gateway", gateway)


def gateway_command(port: int) -> list[str]:
    """The command line of the scripted gateway."""
    return [sys.executable, "-m", "tests.support.scripted_gateway", str(port)]


@contextmanager
def running_stage(cwd: Path) -> Iterator[Stage]:
    """Start both processes; they have ended when the block is left."""
    gateway_port, port = free_port(), free_port()
    environment = {"KODOLLY_API_KEY": "sk-page-secret", "KODOLLY_STATE_DIR": str(cwd / "state")}
    stage = Stage(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway_port}", environment)
    gateway, webui = gateway_command(gateway_port), webui_command(port, stage.gateway)
    with (
        running(gateway, cwd / "gateway.log", f"{stage.gateway}/script"),
        running(webui, cwd / "webui.log", f"{stage.url}/healthz", env=stage.environment),
    ):
        yield stage


@contextmanager
def chromium_or_skip() -> Iterator[Browser]:
    """Chromium; without one the test is skipped here and fails in CI."""
    if not Path(CHROMIUM).exists():
        absent(CHROMIUM)
    with chromium() as browser:
        yield browser


@contextmanager
def fresh_pages(browser: Browser, stage: Stage) -> Iterator[Callable[..., WebUi]]:
    """Gives a maker of browser pages; in the end none of them has left this machine, had a script error or
    shows a button without words."""
    stage.reset()
    made: list[WebUi] = []

    def make(**context: Any) -> WebUi:
        made.append(WebUi(browser, stage.url, **context))
        return made[-1]

    yield make
    nameless = [button for ui in made if not ui.page.is_closed() for button in ui.nameless_buttons()]
    for ui in made:
        ui.close()
    assert nameless == []
    assert [address for ui in made for address in ui.foreign] == []
    assert [error for ui in made for error in ui.errors] == []


def compare(ui: WebUi, left: str, right: str) -> None:
    ui.open()
    ui.pick(left, "left")
    ui.pick(right, "right")
