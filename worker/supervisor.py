"""The worker: keeps one engine running, keeps the controllers informed, drains before it stops."""

import asyncio
import contextlib
import logging
import re
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr

from common.child_process import Backoff, how_it_ended
from common.engine_failure import advice_on, error_in
from common.engine_questions import ListedModel
from common.escape import escape_controls
from common.registry import ModelCard, Registration, WorkerLoad, WorkerState
from worker.attach import AttachedEngine, watch_attached
from worker.engine import EngineCommand
from worker.health import EngineFailed, HealthWatch, wait_until_idle
from worker.lease import Registrar
from worker.process import TERMINATE_GRACE_S, EngineProcess
from worker.progress import stage_of
from worker.settings import WorkerSettings
from worker.stop_wish import StopWish

logger = logging.getLogger(__name__)

SETTLE_S = 0.5
"""Between `draining` and the first look at what still runs: gateways learn of it in this time."""
ENGINE_DEATH = "EngineDeadError"
"""In vLLM's log when its EngineCore process is gone; the server itself ends seconds later."""


class Supervisor:
    """One engine and its lease.

    `run` returns when everything is down, after SIGTERM, SIGINT or a controller's wish.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        engine: EngineCommand | AttachedEngine,
        cards: Sequence[ModelCard],
        *,
        capacity: int = 0,
    ) -> None:
        """An EngineCommand starts an engine, which must answer at its `url` as vLLM's server does.

        `capacity` is how many requests the engine runs at once; 0 is unknown.
        """
        self._settings = settings
        self._engine = engine
        self._cards = tuple(cards)
        self._names = [card.name for card in cards]
        self._capacity = capacity
        self._url = settings.advertised(engine.url)
        # Ordered by start time: a controller tells a successor from a predecessor by it.
        self._incarnation = f"{time.time_ns() // 1_000_000:013d}-{secrets.token_hex(4)}"
        self._state: WorkerState = "loading"
        self._progress = 0.0
        self._detail = "starting"
        self._load = WorkerLoad()
        self._last_error = ""
        self._ready_at: float | None = None
        self._health = self._new_health()
        self._stop = StopWish()
        token = settings.join_token.get_secret_value()
        self._registrar = Registrar(
            settings.controllers, token, self._registration, self._stop.wish, self._on_stay_wish
        )

    async def run(self) -> None:
        """Supervise until asked to stop; a second signal skips the wait for running requests."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        leasing = asyncio.create_task(self._registrar.run())
        engine = asyncio.create_task(self._keep(self._engine))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while True:
                await asyncio.wait([leasing, engine, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not stopping.done() or (self._stop.stands and await self._drain()):
                    break
                stopping = asyncio.create_task(self._stop.wait())
        finally:
            for task in (leasing, engine, stopping):
                task.cancel()
            results = await asyncio.gather(leasing, engine, stopping, return_exceptions=True)
            await self._registrar.leave()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _on_signal(self) -> None:
        self._stop.signal(self._settings.drain_timeout_s)

    def _on_stay_wish(self, controller: str) -> None:
        if self._stop.take_back(controller) and self._state == "draining":
            self._become("ready", 1.0)

    def _registration(self) -> Registration:
        return Registration(
            worker_id=worker_id(self._url),
            incarnation=self._incarnation,
            url=self._url,
            engine_key=SecretStr(self._engine.key),
            models=self._cards,
            capacity=self._capacity,
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

    def _new_health(self) -> HealthWatch:
        return HealthWatch(self._engine.url, self._engine.key, self._names)

    async def _keep(self, engine: EngineCommand | AttachedEngine) -> None:
        if isinstance(engine, AttachedEngine):
            await watch_attached(engine, self._names, self._on_listed, self._on_load, self._on_absent)
        else:
            await self._keep_running(engine)

    async def _keep_running(self, command: EngineCommand) -> None:
        backoff = Backoff()
        while True:
            why = await self._run_engine(command)
            if self._stop.stands:  # it died while draining: `run` goes on by itself
                await self._stop.stay.wait()
            ready_for = time.monotonic() - self._ready_at if self._ready_at is not None else 0.0
            pause = backoff.pause_s(ready_for)
            said = "".join(f"; {part}" for part in _reason(self._last_error))
            logger.error("the engine ended (%s)%s; starting it again in %.0f s", why, said, pause)
            await asyncio.sleep(pause)

    async def _run_engine(self, command: EngineCommand) -> str:
        """One life of the engine; returns how it ended, in words."""
        self._become("loading", 0.05, "starting the engine")
        self._ready_at, self._last_error, self._health = None, "", self._new_health()
        try:
            process = await EngineProcess.start(command, self._on_line)
        except OSError as error:
            return self._lost(f"cannot be started: {error.strerror}")
        exiting = asyncio.create_task(process.wait())
        watching = asyncio.create_task(self._health.follow(self._on_ready, self._on_load))
        grace_s = TERMINATE_GRACE_S
        try:
            await asyncio.wait([exiting, watching], return_when=asyncio.FIRST_COMPLETED)
            if exiting.done():
                return self._lost(how_it_ended(exiting.result()))
            grace_s = 0.0  # it cannot be relied on to end when it is asked to
            failure = watching.exception()
            if not isinstance(failure, EngineFailed):
                raise failure or RuntimeError("the watch over the engine ended")
            return self._lost(str(failure))
        finally:
            for task in (exiting, watching):
                task.cancel()
            await asyncio.gather(exiting, watching, return_exceptions=True)
            await process.end(grace_s)

    def _lost(self, why: str) -> str:
        self._load = WorkerLoad()
        self._become("down", 0.0, "; ".join([f"the engine ended ({why})", *_reason(self._last_error)]))
        return why

    def _on_line(self, line: str) -> None:
        _show_line(line)
        self._last_error = error_in(line) or self._last_error
        if ENGINE_DEATH in line:
            self._health.look_now()
        stage = stage_of(line)
        if stage is not None and self._state == "loading" and stage[0] > self._progress:
            self._become("loading", *stage)

    def _on_ready(self) -> None:
        if self._state in ("ready", "draining"):
            return
        self._ready_at = time.monotonic()
        logger.info("the engine is ready: %s at %s", ", ".join(self._names), self._url)
        self._become("ready", 1.0)

    def _on_listed(self, listed: Mapping[str, ListedModel]) -> None:
        """An attached engine serves our models; it alone knows how long their context is."""
        cards = tuple(
            card.model_copy(update={"context_length": listed[card.name].context_length})
            for card in self._cards
        )
        if cards != self._cards:
            self._cards = cards
            self._registrar.announce()
        self._on_ready()

    def _on_absent(self, why: str) -> None:
        if self._detail != why and self._state != "draining":
            logger.warning("the engine at %s cannot be used: %s", self._engine.url, why)
            self._load = WorkerLoad()
            self._become("down", 0.0, why)

    def _on_load(self, load: WorkerLoad) -> None:
        self._load = load

    # -- stopping -----------------------------------------------------------------------------------

    async def _drain(self) -> bool:
        """Tell everyone that no more is taken, then wait for what runs. False: we are to go on."""
        if self._state != "ready":
            return True
        logger.info("draining: waiting for running requests")
        self._become("draining", 1.0, "stopping")
        await self._registrar.tell_now()
        await asyncio.sleep(SETTLE_S)
        if isinstance(self._engine, AttachedEngine) and not self._load.known:
            return self._stop.stands  # without a load report nobody can tell what still runs there
        await _wait_until_idle_or(self._stop, self._engine)
        return self._stop.stands


def _reason(error: str) -> list[str]:
    """The engine's last error, and what to do about it where that is known."""
    return [part for part in (error and f"its last error: {error}", advice_on(error)) if part]


def _show_line(line: str) -> None:
    shown = escape_controls(line, keep="\t")
    # A full disk or a closed terminal must not stop the reading: the engine would block on its pipe.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"engine | {shown}\n")


async def _wait_until_idle_or(stop: StopWish, engine: EngineCommand | AttachedEngine) -> None:
    idle = asyncio.create_task(wait_until_idle(engine.url, engine.key))
    hurried, stays = asyncio.create_task(stop.hurry.wait()), asyncio.create_task(stop.stay.wait())
    waiting = (idle, hurried, stays)
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if hurried.done() and not idle.done():
            logger.warning("stopping although requests are running")
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def worker_id(url: str) -> str:
    """One address is one engine is one worker: its id is made from host and port."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", urlsplit(url).netloc).strip("-")[-100:]
