"""What runs behind the gateway, as last heard: asked for when somebody looks, and not while nobody does."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.status import Status, StatusModel, StatusProvider
from webui.failures import FailureKind
from webui.gateway_client import GatewayClient, GatewayError

POLL_S = 2.0
"""How often a page looks while something is about to change."""
FRESH_S = 1.0
"""What was heard since then is not asked for again."""
WAIT_S = 0.5
"""How long a page waits for a gateway that hangs, before it shows what was heard last."""


class StatusCache:
    """One task at a time asks, however many look; it ends with the block of `running()`."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = -math.inf
        self._status: Status | None = None
        self.trouble: FailureKind | None = None
        """Why the last try failed; None after a good one and before the first."""
        self._key_refused: set[str] = set()
        """Models whose provider refused the gateway's key when they were asked last."""

    @property
    def heard(self) -> bool:
        """True once the gateway has answered or failed to."""
        return self._status is not None or self.trouble is not None

    @property
    def models(self) -> list[StatusModel]:
        """The models as last heard, also while the gateway is away."""
        return list(self._status.models) if self._status else []

    @property
    def providers(self) -> list[StatusProvider]:
        return list(self._status.providers) if self._status else []

    @property
    def keeps_conversations(self) -> bool:
        """True when the gateway keeps every conversation, as it said last (`feedback_store: all`)."""
        return self._status is not None and self._status.feedback_store == "all"

    def find(self, model: str | None) -> StatusModel | None:
        """One model by its id."""
        return next((entry for entry in self.models if entry.id == model), None)

    def key_refused(self, model: str) -> bool:
        """True when its provider refused the gateway's key the last time that somebody here asked it."""
        return model in self._key_refused

    def note_answer(self, model: str, failure: FailureKind | None) -> None:
        """How a question to `model` ended: a provider's key shows its worth only then."""
        if failure == "provider_key":
            self._key_refused.add(model)
        elif failure is None:
            self._key_refused.discard(model)

    def settled(self, *models: str | None) -> bool:
        """True when the gateway has answered and none of `models` starts, stops or has requests: nothing is
        about to change by itself."""
        if self._asking is not None or self.trouble is not None or not self.models:
            return False
        known = [entry for name in models if (entry := self.find(name)) is not None]
        return all(entry.state == "ready" and not entry.running and not entry.waiting for entry in known)

    async def look(self) -> None:
        """Have what is known be at most FRESH_S seconds old, if the gateway says so within WAIT_S."""
        if self._asking is None and time.monotonic() - self._asked_at > FRESH_S:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=WAIT_S)

    async def _ask(self) -> None:
        """A failure keeps the old list."""
        try:
            self._status = await self._client.status()
            self.trouble = None
        except GatewayError as error:
            self.trouble = error.failure.kind
        finally:
            self._asked_at, self._asking = time.monotonic(), None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What is asked at the end of the block is asked no longer."""
        try:
            yield
        finally:
            if (task := self._asking) is not None:
                task.cancel()
                await asyncio.wait([task])
