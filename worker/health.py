"""What an engine answers about itself: is it there, is it well, what is it doing."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx2

from common.registry import WorkerLoad
from worker.load import LoadMeter

START_POLL_S = 0.5
LOOK_EVERY_S = 2.0
ANSWER_LIMIT_S = 5.0
SILENCE_LIMIT_S = 30.0
"""An engine that answers nothing for this long hangs. Its server shares a loop with its streams, so
those stand still too."""


IDLE_LOOKS = 3
"""In a row: a request that has arrived, but is not scheduled yet, is in no figure."""


class EngineFailed(Exception):
    """The engine's process is there, but it will not answer any more; the message says why."""


def bearer(key: str) -> dict[str, str]:
    """The header that carries an engine's key; none when it asks for none."""
    return {"authorization": f"Bearer {key}"} if key else {}


async def list_models(client: httpx2.AsyncClient) -> set[str]:
    """The ids of GET /v1/models. Raises HTTPError, or ValueError when the answer is no such list."""
    answer = (await client.get("/v1/models")).raise_for_status()
    try:
        return {str(entry["id"]) for entry in answer.json()["data"]}
    except (KeyError, TypeError) as error:
        raise ValueError("its /v1/models is not a list of models") from error


class HealthWatch:
    """Looks at one engine again and again. `look_now` wakes it before its time."""

    def __init__(self, url: str, key: str, models: Sequence[str]) -> None:
        self._url, self._models = url, models
        self._headers = bearer(key)
        self._wake = asyncio.Event()

    def look_now(self) -> None:
        """Something looks wrong: check at once."""
        self._wake.set()

    async def follow(self, on_ready: Callable[[], None], on_load: Callable[[WorkerLoad], None]) -> None:
        """Wait until the engine serves its model, then report its load. Raises EngineFailed."""
        async with httpx2.AsyncClient(
            base_url=self._url, timeout=ANSWER_LIMIT_S, trust_env=False, headers=self._headers
        ) as client:
            while not await self._is_serving(client):
                await asyncio.sleep(START_POLL_S)
            on_ready()
            meter, heard = LoadMeter(), time.monotonic()
            while True:
                load = await _look(client, meter)
                if load is not None:
                    heard = time.monotonic()
                    on_load(load)
                elif time.monotonic() - heard > SILENCE_LIMIT_S:
                    raise EngineFailed(f"it has not answered for {SILENCE_LIMIT_S:.0f} s")
                await self._pause()

    async def _is_serving(self, client: httpx2.AsyncClient) -> bool:
        try:
            if (await client.get("/health")).status_code != 200:
                return False
            return not set(self._models) - await list_models(client)
        except (httpx2.HTTPError, ValueError):
            return False

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()


async def _look(client: httpx2.AsyncClient, meter: LoadMeter) -> WorkerLoad | None:
    """The load, or None when nothing answers. Raises EngineFailed when the engine says it is dead."""
    try:
        if (await client.get("/health")).status_code == 503:
            # vLLM's server outlives its EngineCore by seconds, in which every request fails.
            raise EngineFailed("its EngineCore process is dead")
        return meter.read((await client.get("/metrics")).raise_for_status().text)
    except httpx2.HTTPError:
        return None


async def wait_until_idle(url: str, key: str, poll_s: float = 0.2) -> None:
    """Return when the engine at `url` has no request left, is gone, or does not say what it is doing."""
    looks = 0
    async with httpx2.AsyncClient(
        base_url=url, timeout=ANSWER_LIMIT_S, trust_env=False, headers=bearer(key)
    ) as client:
        while looks < IDLE_LOOKS:
            try:
                load = LoadMeter().read((await client.get("/metrics")).text)
            except httpx2.TimeoutException:
                continue  # busy is not idle
            except httpx2.HTTPError:
                return
            if not load.known:
                return
            looks = looks + 1 if load.running + load.waiting == 0 else 0
            await asyncio.sleep(poll_s)
