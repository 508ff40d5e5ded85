"""What runs behind the gateway, as last heard. Pages read it from memory and never wait for the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from common.status import Status, StatusModel, StatusProvider
from webui.failures import FailureKind
from webui.gateway_client import GatewayClient, GatewayError

POLL_S = 2.0


class StatusCache:
    """One task inside `running()` writes it; everybody else only reads."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client
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
        """True when the gateway answers and none of `models` starts, stops or has requests: nothing is about
        to change by itself."""
        if self.trouble is not None or not self.models:
            return False
        known = [entry for name in models if (entry := self.find(name)) is not None]
        return all(entry.state == "ready" and not entry.running and not entry.waiting for entry in known)

    async def refresh(self) -> None:
        """Ask once; a failure keeps the old list."""
        try:
            self._status = await self._client.status()
            self.trouble = None
        except GatewayError as error:
            self.trouble = error.failure.kind

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it fresh inside the block."""
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _poll(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)
