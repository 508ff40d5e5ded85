"""Keeping the controllers informed: register, renew every 3 s, at once on a change of state, leave."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx2

from common.registry import RENEW_EVERY_S, Lease, Registration
from common.tls import trusted_certificates

logger = logging.getLogger(__name__)

TIMEOUT_S = 5.0
RETRY_S = 1.0
LAST_WORD_S = 2.0
"""Longest time for telling all controllers that we stop; a dead one must not delay that."""


class Registrar:
    """Tells every controller; one that is down costs nothing and is told again as soon as it is back."""

    def __init__(
        self,
        controllers: Sequence[str],
        join_token: str,
        describe: Callable[[], Registration],
        on_drain: Callable[[str, float], None],
        on_stay: Callable[[str], None],
    ) -> None:
        """`on_drain` is called with a controller and the time limit in seconds whenever it asks us to stop,
        `on_stay` whenever it has taken that back."""
        self._on_drain = on_drain
        self._on_stay = on_stay
        self._controllers = controllers
        self._headers = {"authorization": f"Bearer {join_token}"}
        self._describe = describe
        self._changed = [asyncio.Event() for _ in controllers]

    def announce(self) -> None:
        """The state has changed: renew now."""
        for event in self._changed:
            event.set()

    async def run(self) -> None:
        """Renew with all controllers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for url, changed in zip(self._controllers, self._changed, strict=True):
                group.create_task(self._keep(url.rstrip("/"), changed))

    async def _keep(self, url: str, changed: asyncio.Event) -> None:
        reachable = True
        objection = ""
        async with self._client() as client:
            while True:
                changed.clear()
                said = self._describe()
                try:
                    lease = await self._renew(client, url, said)
                except (httpx2.HTTPError, ValueError) as error:
                    if reachable:
                        logger.warning("controller %s: %s; trying again", url, _reason(error))
                    reachable, pause = False, RETRY_S
                else:
                    if not reachable:
                        logger.info("controller %s is back", url)
                    asked = lease.drain_timeout_s
                    if asked is not None:
                        self._on_drain(url, asked)
                    elif lease.stays:
                        self._on_stay(url)
                    refused = said.state == "ready" and lease.state != "ready" and asked is None
                    if refused and lease.detail != objection:
                        logger.warning("controller %s does not list us as ready: %s", url, lease.detail)
                    objection = lease.detail if refused else ""
                    reachable, pause = True, RENEW_EVERY_S
                try:
                    async with asyncio.timeout(pause):
                        await changed.wait()
                except TimeoutError:
                    pass

    async def _renew(self, client: httpx2.AsyncClient, url: str, said: Registration) -> Lease:
        answer = await client.put(
            f"{url}/v1/workers/{said.worker_id}",
            content=said.model_dump_json(),
            headers={"content-type": "application/json"},
        )
        return Lease.model_validate_json(answer.raise_for_status().content)

    async def tell_now(self) -> None:
        """One renewal with every controller, whatever comes of it."""
        said = self._describe()
        async with self._client() as client:
            await _all_within_limit([self._renew(client, url.rstrip("/"), said) for url in self._controllers])

    async def leave(self) -> None:
        """Take our entry out of every controller that can be reached."""
        said = self._describe()
        path = f"/v1/workers/{said.worker_id}?incarnation={said.incarnation}"
        async with self._client() as client:
            await _all_within_limit([client.delete(url.rstrip("/") + path) for url in self._controllers])

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            timeout=TIMEOUT_S, trust_env=False, verify=trusted_certificates(), headers=self._headers
        )


async def _all_within_limit(calls: Sequence[Coroutine[Any, Any, Any]]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_S):
            await asyncio.gather(*calls, return_exceptions=True)


def _reason(error: Exception) -> str:
    if not isinstance(error, httpx2.HTTPStatusError):
        return str(error) or type(error).__name__
    if error.response.status_code == 401:
        return "it refuses our join token (KODOLLY_JOIN_TOKEN)"
    try:
        return f"it says: {error.response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"it answers {error.response.status_code}"
