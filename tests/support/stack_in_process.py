"""Controller, gateway and scripted engines in threads of this process, on real sockets.

For what many tests need and no process of its own would show better: a stack is there in a quarter second.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from common.http_protocol import BoundedProtocol
from common.registry import ModelCard, Registration, WorkerState
from controller.app import create_app as create_controller
from controller.app import end_watches
from controller.settings import ControllerSettings
from server.app import create_app as create_gateway
from server.client.protocol import GatewayProtocol
from server.settings import GatewaySettings
from tests.support.engine_script import Script
from tests.support.forked_kodolly import PERIODS
from tests.support.gateway_stack import TOKEN, Member
from tests.support.processes import PATIENCE_S, wait_for
from tests.support.scripted_engine import Connection


@dataclass
class InProcess:
    """A running controller and the gateway that follows it."""

    controller: str
    gateway: str
    stack: ExitStack
    default_headers: dict[str, str] = field(default_factory=dict)
    """Sent with every request, e.g. a key."""

    def worker(self, worker_id: str, *cards: ModelCard, incarnation: str = "incarnation-1") -> "Worker":
        """A ready worker with an engine of its own, which keeps its lease until the end; returns when the
        gateway has heard of it."""
        script = Script(cards[0].name, "", tuple(card.name for card in cards[1:]))
        url = self.stack.enter_context(engine(script))
        registration = Registration(
            worker_id=worker_id,
            incarnation=incarnation,
            url=url,
            models=cards,
            state="ready",
            progress=1.0,
        )
        before = {card.name: self.ready(card.name) for card in cards}
        lease = self.stack.enter_context(ExitStack())
        worker = Worker(Member(self.controller, registration), script, lease)
        lease.enter_context(worker.member.kept())
        wait_for(lambda: all(self.ready(name) > count for name, count in before.items()), PATIENCE_S)
        return worker

    def ready(self, model: str) -> int:
        """How many ready workers of a model the gateway knows."""
        models = {one["id"]: one for one in self.get("/v1/status")["models"]}
        return int(models.get(model, {}).get("workers", 0))

    def is_ready(self, model: str) -> bool:
        """Whether the gateway would ask somebody for it now."""
        return self.ready(model) > 0

    def get(self, path: str, **headers: str) -> Any:
        """The JSON at a path of the gateway."""
        answer = httpx2.get(f"{self.gateway}{path}", headers=self.default_headers | headers, trust_env=False)
        return answer.raise_for_status().json()

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """What the gateway answers."""
        return httpx2.post(
            f"{self.gateway}{path}",
            json=body,
            headers=self.default_headers | headers,
            trust_env=False,
            timeout=30,
        )

    def put(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """What the gateway answers."""
        return httpx2.put(
            f"{self.gateway}{path}", json=body, headers=self.default_headers | headers, trust_env=False
        )

    def ask(self, model: str, question: str = "안녕?", **more: Any) -> httpx2.Response:
        """One chat answer."""
        headers = more.pop("headers", {})
        body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 4} | more
        return self.post("/v1/chat/completions", body, **headers)


@dataclass
class Worker:
    """One that is registered, and its engine's script."""

    member: Member
    script: Script
    lease: ExitStack
    """Closed, it is not renewed any more."""

    @property
    def checkpoint(self) -> str | None:
        """Of its first model."""
        return self.member.registration.models[0].checkpoint

    def says(self, state: WorkerState) -> None:
        """Register with another state."""
        self.member.registration = self.member.registration.model_copy(update={"state": state})
        self.member.put().raise_for_status()


@contextmanager
def in_process(tmp_path: Path, **settings: Any) -> Iterator[InProcess]:
    """A controller and a gateway with these settings, while the block runs."""
    state_dir = tmp_path / "state"
    controller_app = create_controller(
        ControllerSettings.model_validate({"join_token": TOKEN, "state_dir": state_dir})
    )
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for period, seconds in PERIODS.items():
            patch.setattr(period, seconds)
        controller = stack.enter_context(_serving(controller_app, BoundedProtocol))
        stack.callback(end_watches, controller_app)
        gateway_app = create_gateway(
            GatewaySettings.model_validate(
                {
                    "join_token": TOKEN,
                    "state_dir": state_dir,
                    "controllers": (controller,),
                    "external": (),
                    **settings,
                }
            )
        )
        gateway = stack.enter_context(_serving(gateway_app, GatewayProtocol))
        yield InProcess(controller, gateway, stack)


@contextmanager
def engine(script: Script) -> Iterator[str]:
    """A scripted engine's URL; it is served in a thread of its own."""
    listening: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: Connection(script, reader, writer).serve(), "127.0.0.1", 0
        )
        listening.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        started.set()
        await ending.wait()
        server.close()

    def run() -> None:
        loop.run_until_complete(serve())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    try:
        yield listening[0]
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


@contextmanager
def _serving(app: Any, protocol: type[asyncio.Protocol]) -> Iterator[str]:
    config = uvicorn.Config(
        app,
        port=0,
        loop="uvloop",
        log_level="critical",
        log_config=None,
        lifespan="on",
        interface="asgi3",
        ws="none",
        http=protocol,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive(), PATIENCE_S)
    assert thread.is_alive(), "the app did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
