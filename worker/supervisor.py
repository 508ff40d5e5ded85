"""The worker: keeps one engine running, keeps the controllers informed, drains before it stops."""

import asyncio
import contextlib
import logging
import secrets
import signal
import sys
import time

import httpx2
from pydantic import SecretStr

from common.registry import ModelCard, Registration, WorkerLoad, WorkerState
from worker.engine import EngineCommand
from worker.lease import Registrar
from worker.load import LoadMeter
from worker.process import EngineProcess
from worker.progress import stage_of
from worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
STABLE_S = 60.0
"""An engine that was ready this long starts again with the shortest back-off."""
LOAD_EVERY_S = 2.0
HEALTH_EVERY_S = 0.5
DRAIN_POLL_S = 0.2
SETTLE_S = 0.5
"""Between `draining` and the first look at what still runs: gateways learn of it in this time."""


class Supervisor:
    """One engine and its lease. `run` returns after SIGTERM or SIGINT, when everything is down."""

    def __init__(self, settings: WorkerSettings, command: EngineCommand, card: ModelCard) -> None:
        self._settings = settings
        self._command = command
        self._card = card
        self._incarnation = secrets.token_hex(8)
        self._state: WorkerState = "loading"
        self._progress = 0.0
        self._detail = "starting"
        self._load = WorkerLoad()
        self._ready_at: float | None = None
        self._stop = asyncio.Event()
        token = settings.join_token.get_secret_value()
        self._registrar = Registrar(settings.controllers, token, self._registration)

    async def run(self) -> None:
        """Supervise until a signal asks to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        leasing = asyncio.create_task(self._registrar.run())
        engine = asyncio.create_task(self._keep_engine())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([leasing, engine, stopping], return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                await self._drain()
        finally:
            for task in (leasing, engine, stopping):
                task.cancel()
            results = await asyncio.gather(leasing, engine, stopping, return_exceptions=True)
            await self._registrar.leave()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _registration(self) -> Registration:
        return Registration(
            worker_id=f"{self._card.name.replace('/', '-')}-{self._settings.port}",
            incarnation=self._incarnation,
            url=self._settings.url(),
            engine_key=SecretStr(self._command.key),
            models=(self._card,),
            state=self._state,
            progress=self._progress,
            detail=self._detail,
            load=self._load,
        )

    def _become(self, state: WorkerState, progress: float, detail: str = "") -> None:
        if (self._state, self._progress, self._detail) != (state, progress, detail):
            self._state, self._progress, self._detail = state, progress, detail
            self._registrar.announce()

    # -- the engine ---------------------------------------------------------------------------------

    async def _keep_engine(self) -> None:
        failures = 0
        while True:
            ready_for = await self._run_engine()
            failures = 0 if ready_for > STABLE_S else failures
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            failures += 1
            logger.error("the engine ended: %s; starting it again in %.0f s", self._detail, pause)
            await asyncio.sleep(pause)

    async def _run_engine(self) -> float:
        """One life of the engine; returns for how many seconds it was ready."""
        self._become("loading", 0.05, "starting the engine")
        process = await EngineProcess.start(self._command)
        watching = asyncio.create_task(self._watch_engine(process.pid))
        self._ready_at = None
        try:
            code = await process.read_lines(self._on_line)
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self._become("down", 0.0, f"the engine ended ({how}) {process.last_error}".strip())
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await process.end()
        return time.monotonic() - self._ready_at if self._ready_at is not None else 0.0

    def _on_line(self, line: str) -> None:
        sys.stderr.write(f"engine | {line}\n")
        stage = stage_of(line)
        if stage is not None and self._state == "loading" and stage[0] > self._progress:
            self._become("loading", *stage)

    async def _watch_engine(self, pid: int) -> None:
        """Wait for health, then follow the load, until cancelled."""
        headers = {"authorization": f"Bearer {self._command.key}"}
        meter = LoadMeter()
        async with httpx2.AsyncClient(
            base_url=self._command.url, timeout=5.0, trust_env=False, headers=headers
        ) as client:
            while not await _is_serving(client, self._card.name):
                await asyncio.sleep(HEALTH_EVERY_S)
            self._ready_at = time.monotonic()
            logger.info("the engine (pid %d) is ready: %s at %s", pid, self._card.name, self._settings.url())
            self._become("ready", 1.0)
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    self._load = meter.read((await client.get("/metrics")).text)
                await asyncio.sleep(LOAD_EVERY_S)

    # -- stopping -----------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Tell everyone that no more is taken, then wait for what runs."""
        if self._state != "ready":
            return
        logger.info("draining")
        self._become("draining", 1.0, "stopping")
        await self._registrar.tell_now()
        await asyncio.sleep(SETTLE_S)
        async with httpx2.AsyncClient(base_url=self._command.url, timeout=2.0, trust_env=False) as client:
            with contextlib.suppress(TimeoutError, httpx2.HTTPError):
                async with asyncio.timeout(self._settings.drain_timeout_s):
                    while await _busy(client):
                        await asyncio.sleep(DRAIN_POLL_S)


async def _is_serving(client: httpx2.AsyncClient, model: str) -> bool:
    try:
        if (await client.get("/health")).status_code != 200:
            return False
        listed = (await client.get("/v1/models")).raise_for_status().json()
        return any(entry.get("id") == model for entry in listed["data"])
    except (httpx2.HTTPError, ValueError, KeyError):
        return False


async def _busy(client: httpx2.AsyncClient) -> bool:
    load = LoadMeter().read((await client.get("/metrics")).text)
    return load.running + load.waiting > 0
