"""The lease registry: pure state, with the clock handed in. Nothing is stored: renewals bring everything
again after a restart."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.errors import ApiError, BadRequest, Conflict, NotFound
from common.model_name import fault_of_name
from common.registry import (
    LEASE_TTL_S,
    RENEW_EVERY_S,
    Alias,
    Delta,
    DrainRequest,
    Lease,
    Registration,
    Snapshot,
    WorkerLoad,
    WorkerRecord,
    WorkerState,
    refuse_changed,
)
from controller.aliases import AliasTable

FORGET_AFTER_S = 120.0
"""How long a worker whose lease ran out stays listed as `down`, so that people see what they lost."""

MAX_ALIASES = 1000


class StaleIncarnation(ApiError):
    """The message comes from an incarnation whose successor has registered already."""

    status, type, default_code = 409, "invalid_request_error", "stale_incarnation"


@dataclass(slots=True)
class WorkerEntry:
    """One worker: what it said, what was verified, until when it is believed."""

    registration: Registration
    verified: bool
    """The call-back to this incarnation's address succeeded."""
    expires: float
    detail: str = ""
    """Why a worker that says `ready` is not listed so."""
    drain_timeout_s: float | None = None
    stays: bool = False
    """The wish that it stops was taken back."""
    """Not None: somebody asked this incarnation to stop within so many seconds."""

    def same_claims(self, said: Registration) -> bool:
        """Whether `said` claims what this entry's registration does, so that one call-back covers both."""
        own = self.registration
        mine = (own.incarnation, own.url, own.engine_key, own.models)
        return mine == (said.incarnation, said.url, said.engine_key, said.models)

    def record(self, now: float) -> WorkerRecord:
        """The worker as gateways should see it."""
        said = self.registration
        state, detail = said.state, said.detail
        if now >= self.expires:
            state, detail = "down", "its lease ran out"
        elif self.drain_timeout_s is not None and state != "down":
            # Listed as draining at once: until the worker itself said so, gateways would go on sending.
            state, detail = "draining", detail if state == "draining" else "asked to stop"
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
    names: AliasTable = field(default_factory=AliasTable)
    _shown_names: AliasTable = field(default_factory=AliasTable)
    _entries: dict[str, WorkerEntry] = field(default_factory=dict)
    _shown: dict[str, WorkerRecord] = field(default_factory=dict)
    _left: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Worker id -> (incarnation that has left, until when its late words are refused)."""

    def renew(self, said: Registration) -> WorkerEntry:
        """Take a registration or a renewal. Raises StaleIncarnation."""
        now = self.clock()
        if self._left.get(said.worker_id, ("", 0.0))[0] == said.incarnation:
            raise StaleIncarnation(f"Worker {said.worker_id!r} has left; only a new start may register.")
        known = self._entries.get(said.worker_id)
        if known is not None and now < known.expires and said.incarnation < known.registration.incarnation:
            raise StaleIncarnation(
                f"A later start of worker {said.worker_id!r} has registered.",
                hint="Stop the older one, or give it another address.",
            )
        # An engine that is loading, or was down, is a new process behind the same address.
        alive = said.state in ("ready", "draining")
        same = known if known is not None and known.same_claims(said) else None
        verified = alive and same is not None and same.verified
        meant = known is not None and known.registration.incarnation == said.incarnation
        entry = WorkerEntry(
            said,
            verified,
            now + LEASE_TTL_S,
            same.detail if same is not None else "",
            known.drain_timeout_s if known is not None and meant else None,
            known.stays if known is not None and meant else False,
        )
        self._entries[said.worker_id] = entry
        return entry

    def verify(self, said: Registration, failure: str | None) -> None:
        """Note the outcome of the call-back to `said`: None is success, else the reason in words.

        It counts only while the worker still claims the same: address, key and models.
        """
        entry = self._entries.get(said.worker_id)
        if entry is not None and entry.same_claims(said) and entry.registration.state == "ready":
            entry.verified, entry.detail = failure is None, failure or ""

    def drain(self, worker_id: str, asked: DrainRequest) -> WorkerRecord:
        """Ask a worker to stop: it learns of it with its next renewal. Raises NotFound, StaleIncarnation."""
        entry = self._meant(worker_id, asked.incarnation)
        entry.drain_timeout_s, entry.stays = asked.timeout_s, False
        return entry.record(self.clock())

    def undrain(self, worker_id: str, incarnation: str) -> WorkerRecord:
        """Take the wish back, while the worker still has requests. Raises NotFound, StaleIncarnation, and
        Conflict for one that stops by itself."""
        entry = self._meant(worker_id, incarnation)
        if entry.drain_timeout_s is None and not entry.stays and entry.registration.state == "draining":
            raise Conflict(
                f"Worker {worker_id!r} was stopped on its own machine.",
                code="stops_by_itself",
                hint="Start it anew there.",
            )
        entry.drain_timeout_s, entry.stays = None, True
        return entry.record(self.clock())

    def _meant(self, worker_id: str, incarnation: str | None) -> WorkerEntry:
        entry = self._entries.get(worker_id)
        if entry is None:
            raise NotFound(f"There is no worker {worker_id!r}.", hint="`kodolly ps` lists them.")
        if incarnation not in (None, entry.registration.incarnation):
            raise StaleIncarnation(f"Worker {worker_id!r} has been started anew since.")
        return entry

    def lease_of(self, worker_id: str) -> Lease:
        """What a worker is told after a renewal."""
        state, detail = self.state_of(worker_id)
        entry = self._entries.get(worker_id)
        return Lease(
            ttl_s=LEASE_TTL_S,
            renew_every_s=RENEW_EVERY_S,
            state=state,
            detail=detail,
            drain_timeout_s=entry.drain_timeout_s if entry is not None else None,
            stays=entry is not None and entry.stays,
        )

    def state_of(self, worker_id: str) -> tuple[WorkerState, str]:
        """(state, detail) as listed; `down` for one that is not known."""
        entry = self._entries.get(worker_id)
        if entry is None:
            return "down", "it has left"
        record = entry.record(self.clock())
        return record.state, record.detail

    def remove(self, worker_id: str, incarnation: str) -> bool:
        """Forget a worker that left. False when it is not (any more) this incarnation."""
        entry = self._entries.get(worker_id)
        if entry is None or entry.registration.incarnation != incarnation:
            return False
        del self._entries[worker_id]
        self._left[worker_id] = (incarnation, self.clock() + FORGET_AFTER_S)
        return True

    def set_alias(self, name: str, alias: Alias, seen: str | None = None) -> None:
        """Let `name` lead to a model, or split it. Raises BadRequest for what could not be followed, and
        Conflict where it has another version than the one that was seen."""
        refuse_changed(name, self.names.alias(name), seen)
        if (fault := fault_of_name(name)) is not None:
            raise BadRequest(f"{name!r} cannot be a name: {fault}.", param="name")
        names = self.names.with_name(name, alias)
        served = {card.name for entry in self._entries.values() for card in entry.registration.models}
        if name in served and name in names.aliases:
            raise BadRequest(f"{name!r} is a model's own name.", param="name")
        if len(names.aliases) + len(names.splits) > MAX_ALIASES:
            raise BadRequest(f"There are {MAX_ALIASES} aliases already.")
        self.names = names

    def remove_alias(self, name: str, seen: str | None = None) -> None:
        """Raises NotFound, and Conflict where it has another version than the one that was seen."""
        if name not in self.names.aliases and name not in self.names.splits:
            raise NotFound(f"There is no alias {name!r}.", hint="`kodolly alias` lists them.")
        refuse_changed(name, self.names.alias(name), seen)
        self.names = self.names.without(name)

    def collect_changes(self, *, loads: bool = True) -> Delta | None:
        """What is visible now and was not at the last call; None when nothing changed.

        Without `loads`, a worker of which only the load has changed is left for a later call: loads change
        all the time, and nobody needs each of them at once.
        """
        now = self.clock()
        for worker_id in [w for w, e in self._entries.items() if now >= e.expires + FORGET_AFTER_S]:
            del self._entries[worker_id]
        self._left = {w: left for w, left in self._left.items() if now < left[1]}
        changed, shown = [], {}
        for worker_id, entry in self._entries.items():
            record, before = entry.record(now), self._shown.get(worker_id)
            if before is not None and not _differs(before, record, loads):
                record = before
            else:
                changed.append(record)
            shown[worker_id] = record
        removed = tuple(w for w in self._shown if w not in shown)
        renamed = self.names != self._shown_names
        if not changed and not removed and not renamed:
            return None
        self._shown, self._shown_names = shown, self.names
        self.version += 1
        return Delta(
            epoch=self.epoch,
            version=self.version,
            changed=tuple(changed),
            removed=removed,
            aliases=self.names.aliases if renamed else None,
            splits=self.names.splits if renamed else None,
        )

    def snapshot(self) -> Snapshot:
        """Everything as of the last `collect_changes`."""
        return Snapshot(
            epoch=self.epoch,
            version=self.version,
            workers=tuple(self._shown.values()),
            aliases=self._shown_names.aliases,
            splits=self._shown_names.splits,
        )

    def current(self) -> Snapshot:
        """Everything as of now, each worker with its latest load."""
        now = self.clock()
        records = tuple(entry.record(now) for entry in self._entries.values())
        return self.snapshot().model_copy(update={"workers": records})


def _differs(before: WorkerRecord, now: WorkerRecord, loads: bool) -> bool:
    """Whether a gateway must hear of it. The rate of tokens alone changes nothing that it does."""
    if before.model_copy(update={"load": now.load}) != now:
        return True
    return loads and _weight(before.load) != _weight(now.load)


def _weight(load: WorkerLoad) -> tuple[object, ...]:
    return load.known, load.running, load.waiting, round(load.kv_cache_use, 2)
