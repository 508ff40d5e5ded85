"""What an engine answers about itself: is it there, is it well, what is it doing."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx2

from common.engine_questions import ANSWER_LIMIT_S, Ill, NotServing, bearer, check_health, check_serving
from common.registry import WorkerLoad
from common.tls import trusted_certificates
from worker.load import LoadMeter

START_POLL_S = 0.5
LOOK_EVERY_S = 2.0
SILENCE_LIMIT_S = 30.0
"""An engine that answers nothing for this long hangs. Its server shares a loop with its streams, so
those stand still too."""


IDLE_LOOKS = 3
"""Idle looks in a row that count as idle: a request that has arrived, but is not scheduled yet, is in no
figure."""


class EngineFailed(Exception):
    """The engine's process is there, but it will not answer any more; the message says why."""

    STATUS = 503
    """The status of vLLM's /health when its engine is dead."""


class HealthWatch:
    """Looks at one engine again and again. `look_now` wakes it before its time."""

    def __init__(self, url: str, key: str, models: Sequence[str]) -> None:
        self._url, self._key, self._models = url, key, models
        self._wake = asyncio.Event()

    def look_now(self) -> None:
        """Something looks wrong: check at once."""
        self._wake.set()

    async def follow(self, on_ready: Callable[[], None], on_load: Callable[[WorkerLoad], None]) -> None:
        """Wait until the engine serves its model, then report its load. Raises EngineFailed."""
        async with httpx2.AsyncClient(
            timeout=ANSWER_LIMIT_S, trust_env=False, verify=trusted_certificates()
        ) as client:
            while not await self._is_serving(client):
                await asyncio.sleep(START_POLL_S)
            on_ready()
            meter, heard = LoadMeter(), time.monotonic()
            while True:
                load = await self._look(client, meter)
                if load is not None:
                    heard = time.monotonic()
                    on_load(load)
                elif time.monotonic() - heard > SILENCE_LIMIT_S:
                    raise EngineFailed(f"it has not answered for {SILENCE_LIMIT_S:.0f} s")
                await self._pause()

    async def _is_serving(self, client: httpx2.AsyncClient) -> bool:
        try:
            await check_serving(client, self._url, self._key, self._models)
        except NotServing:
            return False
        return True

    async def _look(self, client: httpx2.AsyncClient, meter: LoadMeter) -> WorkerLoad | None:
        """The load, or None when nothing answers. Raises EngineFailed when the engine says it is dead."""
        try:
            await check_health(client, self._url)
            return await read_load(client, self._url, self._key, meter)
        except Ill as illness:
            if illness.status != EngineFailed.STATUS:
                return None
            # vLLM's server outlives its EngineCore by seconds, in which every request fails.
            raise EngineFailed("its EngineCore process is dead") from illness
        except (NotServing, httpx2.HTTPError):
            return None

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()


async def read_load(client: httpx2.AsyncClient, url: str, key: str, meter: LoadMeter) -> WorkerLoad:
    """What /metrics says of an engine known to have it. Raises HTTPError."""
    answer = await client.get(f"{url}/metrics", headers=bearer(key))
    return meter.read(answer.raise_for_status().text)


async def wait_until_idle(url: str, key: str, poll_s: float = 0.2) -> None:
    """Return when the engine at `url` has no request left, is gone, or does not say what it is doing."""
    looks = 0
    async with httpx2.AsyncClient(
        base_url=url,
        timeout=ANSWER_LIMIT_S,
        trust_env=False,
        verify=trusted_certificates(),
        headers=bearer(key),
    ) as client:
        while looks < IDLE_LOOKS:
            try:
                load = LoadMeter().read((await client.get("/metrics")).text)
            except httpx2.TimeoutException:
                continue  # no answer in time: it is busy, not idle
            except httpx2.HTTPError:
                return
            if not load.known:
                return
            looks = looks + 1 if load.running + load.waiting == 0 else 0
            await asyncio.sleep(poll_s)
