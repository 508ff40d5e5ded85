"""The lease registry: pure state, with the clock handed in. It keeps nothing: renewals tell it all."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import ApiError
from common.registry import LEASE_TTL_S, Delta, Registration, Snapshot, WorkerRecord

FORGET_AFTER_S = 120.0
"""How long a worker whose lease ran out stays listed as `down`, so that people see what they lost."""


class StaleIncarnation(ApiError):
    """A predecessor speaks after its successor has registered."""

    status, type, default_code = 409, "invalid_request_error", "stale_incarnation"


@dataclass(slots=True)
class Entry:
    """One worker: what it said, what was verified, until when it is believed."""

    registration: Registration
    verified: bool
    """The call-back to this incarnation's address succeeded."""
    expires: float
    detail: str = ""
    """Why a worker that says `ready` is not listed so."""

    def record(self, now: float) -> WorkerRecord:
        """The worker as gateways should see it."""
        said = self.registration
        state, detail = said.state, said.detail
        if now >= self.expires:
            state, detail = "down", "its lease ran out"
        elif state == "ready" and not self.verified:
            state, detail = "loading", self.detail
        fields = said.model_dump(exclude={"state", "detail", "engine_key"})
        return WorkerRecord(**fields, engine_key=said.engine_key, state=state, detail=detail)


@dataclass(slots=True)
class Registry:
    """All workers. Every visible change is one version and one Delta."""

    clock: Callable[[], float] = time.monotonic
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    version: int = 0
    _entries: dict[str, Entry] = field(default_factory=dict)
    _shown: dict[str, WorkerRecord] = field(default_factory=dict)

    def renew(self, said: Registration) -> Entry:
        """Take a registration or a renewal. Raises StaleIncarnation."""
        now = self.clock()
        known = self._entries.get(said.worker_id)
        if known is not None and known.registration.incarnation != said.incarnation:
            if said.state != "loading" and now < known.expires:
                raise StaleIncarnation(
                    f"Another incarnation of worker {said.worker_id!r} has registered since.",
                    hint="Start the worker again, or give it another id.",
                )
            known = None
        verified = known is not None and known.verified and known.registration.url == said.url
        entry = Entry(said, verified and said.state != "loading", now + LEASE_TTL_S)
        self._entries[said.worker_id] = entry
        return entry

    def verify(self, worker_id: str, incarnation: str, failure: str | None) -> None:
        """Note the outcome of a call-back: None is success, else the reason in words."""
        entry = self._entries.get(worker_id)
        if entry is not None and entry.registration.incarnation == incarnation:
            entry.verified, entry.detail = failure is None, failure or ""

    def remove(self, worker_id: str, incarnation: str) -> bool:
        """Forget a worker that left. False when it is not (any more) this incarnation."""
        entry = self._entries.get(worker_id)
        if entry is None or entry.registration.incarnation != incarnation:
            return False
        del self._entries[worker_id]
        return True

    def collect_changes(self) -> Delta | None:
        """What is visible now and was not at the last call; None when nothing changed."""
        now = self.clock()
        for worker_id in [w for w, e in self._entries.items() if now >= e.expires + FORGET_AFTER_S]:
            del self._entries[worker_id]
        current = {worker_id: entry.record(now) for worker_id, entry in self._entries.items()}
        changed = tuple(r for w, r in current.items() if self._shown.get(w) != r)
        removed = tuple(w for w in self._shown if w not in current)
        if not changed and not removed:
            return None
        self._shown = current
        self.version += 1
        return Delta(epoch=self.epoch, version=self.version, changed=changed, removed=removed)

    def snapshot(self) -> Snapshot:
        """Everything as of the last `collect_changes`."""
        return Snapshot(epoch=self.epoch, version=self.version, workers=tuple(self._shown.values()))
