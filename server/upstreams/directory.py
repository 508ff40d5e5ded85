"""What the gateway knows of its upstreams, in memory: which models there are and which upstream to ask."""

import logging
import math
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from pydantic import SecretStr

from common.errors import ModelNotFound, ModelNotReady
from common.registry import LEASE_TTL_S, Delta, ModelCard, Snapshot, WorkerRecord
from common.status import StatusModel, StatusProvider
from server.proxy import Proxy
from server.settings import OPENAI, ExternalProvider
from server.upstreams.affinity import choose
from server.upstreams.breaker import State as BreakerState
from server.upstreams.breaker import usable
from server.upstreams.own_names import OwnNames
from server.upstreams.upstream import Upstream

logger = logging.getLogger(__name__)

LONGEST_NAME = 500
"""Characters of a model's name, above which nobody is told what he may have meant."""
UNCONFIRMED_S = 2 * LEASE_TTL_S
"""How long a worker stays that a restarted controller does not list."""


@dataclass(slots=True)
class Directory:
    """Workers as the controllers report them, plus the configured external providers."""

    providers: tuple[ExternalProvider, ...] = ()
    keys: dict[str, SecretStr] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)
    workers: dict[str, Upstream] = field(default_factory=dict)
    externals: dict[str, Upstream] = field(default_factory=dict)
    static: dict[str, Upstream] = field(default_factory=dict)
    """Workers from the settings."""
    epoch: str = ""
    version: int = -1
    controller_connected: bool = False
    aliases: dict[str, str] = field(default_factory=dict)
    """Name a client may ask for -> name that workers or providers serve."""
    proxies: dict[str, Proxy | None] = field(default_factory=dict)
    """Provider name -> the proxy on the way to it."""
    configured: tuple[str, ...] = ()
    """Names that the settings give to models of the house: static ones and aliases."""
    listeners: list[Callable[[], None]] = field(default_factory=list)
    """Called after every change of the workers or aliases."""
    own: OwnNames = field(default_factory=OwnNames)
    hidden: dict[str, list[str]] = field(default_factory=dict)
    """Name that is the house's own -> providers that list it, too, and are not asked for it."""
    _serving: dict[str, list[Upstream]] = field(default_factory=dict)
    """Model name -> all upstreams that serve it, whatever their state."""

    def __post_init__(self) -> None:
        for provider in self.providers:
            if key := self.keys.get(provider.name):
                cards = {name: ModelCard(name=name) for name in provider.models}
                # By its full name a model can be asked for even where a worker has the short one.
                cards |= {f"{provider.name}/{name}": cards[name] for name in provider.models}
                self.externals[provider.name] = Upstream(
                    id=provider.name,
                    kind="external",
                    url=provider.base_url.rstrip("/"),
                    key=key,
                    models=cards,
                    provider=provider,
                    proxy=self.proxies.get(provider.name),
                )
            else:
                level = logging.INFO if provider == OPENAI else logging.WARNING
                logger.log(level, "provider %s is not offered: %s is empty", provider.name, provider.key_env)
        self.own.claim(self.configured)
        self._changed()

    # -- following the controller ---------------------------------------------------------------

    def controller_spoke(self) -> None:
        """A controller is there, whatever it says: all workers that it lists renew their leases."""
        now = self.clock()
        for worker in self.workers.values():
            if worker.state != "down" and worker.unconfirmed_since is None:
                worker.seen = now

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Replace what is known of the workers; counters of workers that stay are kept.

        A controller that has just started knows nobody yet: workers that it does not list stay until they
        had the time to register with it.
        """
        current = {record.worker_id for record in snapshot.workers}
        for worker_id in set(self.workers) - current:
            if snapshot.epoch == self.epoch:
                self.workers.pop(worker_id).lost()
            elif self.workers[worker_id].unconfirmed_since is None:
                self.workers[worker_id].unconfirmed_since = self.clock()
        for record in snapshot.workers:
            self._put(record)
        self.epoch, self.version = snapshot.epoch, snapshot.version
        self._changed()

    def apply_delta(self, delta: Delta) -> bool:
        """Apply the next change. False when it does not follow on: the caller must fetch a snapshot."""
        if delta.epoch != self.epoch or delta.version != self.version + 1:
            return False
        for record in delta.changed:
            self._put(record)
        for worker_id in delta.removed:
            if (gone := self.workers.pop(worker_id, None)) is not None:
                gone.lost()
        self.version = delta.version
        self._changed()
        return True

    def presume_down(self, worker: Upstream) -> None:
        """Ask it no more until it answers again or a controller speaks of it."""
        worker.state, worker.presumed_down = "down", True
        worker.detail = "it does not answer"
        worker.lost()
        self._changed()

    def presume_up(self, worker: Upstream) -> None:
        """It answers again."""
        worker.state, worker.presumed_down, worker.detail = "ready", False, ""
        self._changed()

    def forget_unconfirmed(self) -> None:
        """Drop workers that have not registered with a new controller in time; to be called now and then."""
        limit = self.clock() - UNCONFIRMED_S
        late = [w for w, up in self.workers.items() if (up.unconfirmed_since or limit + 1) <= limit]
        for worker_id in late:
            self.workers.pop(worker_id).lost()
        if late:
            self._changed()

    def put_static(self, worker: Upstream) -> None:
        """Add or change a worker that no controller knows."""
        self.static[worker.id] = worker
        self._changed()

    def _put(self, record: WorkerRecord) -> None:
        known = self.workers.get(record.worker_id)
        if known is None or known.incarnation != record.incarnation:
            if known is not None:
                known.lost()
            known = Upstream(id=record.worker_id, kind="worker", url="", key=SecretStr(""), models={})
            self.workers[record.worker_id] = known
        if (known.url, known.key) != (record.url.rstrip("/"), record.engine_key):
            known.url, known.key = record.url.rstrip("/"), record.engine_key
            known.forget_address()
        known.models = {card.name: card for card in record.models}
        known.state, known.progress, known.detail = record.state, record.progress, record.detail
        known.incarnation = record.incarnation
        known.capacity = record.capacity
        known.unconfirmed_since = None
        known.presumed_down = False
        known.running, known.waiting = record.load.running, record.load.waiting
        if record.state == "down":
            known.lost()

    def set_aliases(self, aliases: dict[str, str]) -> None:
        """Replace the run-time aliases."""
        self.aliases = aliases
        self._changed()

    def resolve(self, name: str, known: Collection[str] | None = None) -> str:
        """The served model behind a name. Raises ModelNotFound for a name nobody serves; its hint tells of
        no other names than `known`, the names that whoever asks may use; None is all."""
        if name in self._serving:
            return name
        target = self.aliases.get(name)
        if target is not None:
            return target
        if name in self.own:
            return name  # `candidates` says what has become of it
        raise self._unknown(name, known)

    def _changed(self) -> None:
        serving: dict[str, list[Upstream]] = {}
        for up in (*self.workers.values(), *self.static.values()):
            for name in up.models:
                serving.setdefault(name, []).append(up)
        self.own.now_served(serving)
        self.own.claim(self.aliases)
        self._serving = serving | self._offered_outside()
        for listener in self.listeners:
            listener()

    def _offered_outside(self) -> dict[str, list[Upstream]]:
        """Model name -> providers, but for names that are the house's own: those never leave it."""
        offered: dict[str, list[Upstream]] = {}
        hidden: dict[str, list[str]] = {}
        for provider in self.externals.values():
            for name in provider.models:
                if name in self.own:
                    hidden.setdefault(name, []).append(provider.id)
                else:
                    offered.setdefault(name, []).append(provider)
        for name in hidden.keys() - self.hidden.keys():
            logger.warning(hidden_in_words(name, hidden[name]))
        self.hidden = hidden
        return offered

    # -- choosing -------------------------------------------------------------------------------

    def candidates(self, model: str, affinity: int | None = None) -> list[Upstream]:
        """Ready upstreams of `model`, best first: by affinity within bounded load when there is a key, else
        by power of two choices. Those that failed lately come last, but they do come.

        Raises ModelNotFound for a name nobody serves and ModelNotReady when all who do are busy
        starting, draining or dead.
        """
        serving = self._serving.get(model)
        if not serving:
            # A name of the house's own was resolved for somebody who may not know all others.
            known = () if model in self.own else None
            raise self._gone(model) if self.own.lost_lately(model) else self._unknown(model, known)
        if len(serving) == 1 and serving[0].state == "ready":
            return list(serving)
        ready = [up for up in serving if up.state == "ready"]
        if not ready:
            raise self._not_ready(model, serving)
        now = self.clock()
        well = [up for at in usable([up.breaker for up in ready]) if (up := ready[at]).cooldown_until <= now]
        order = choose(affinity, [up.load() for up in well], [up.seed for up in well], self.rng)
        return [well[at] for at in order] + [up for up in ready if up not in well]

    def has_choice(self, model: str) -> bool:
        """Whether more than one upstream serves it."""
        return len(self._serving.get(model, ())) > 1

    def context_length(self, model: str) -> int | None:
        """Most tokens of prompt and answer together, as far as one of its upstreams tells."""
        lengths = [up.models[model].context_length for up in self._serving.get(model, ())]
        return max((length for length in lengths if length), default=None)

    def free_places(self, model: str, default_capacity: int) -> float:
        """How many more requests the ready workers of `model` can run; infinite when one does not say."""
        free = 0.0
        for up in self._serving.get(model, ()):
            if up.state == "ready":
                capacity = up.capacity or default_capacity
                if not capacity:
                    return math.inf
                free += max(0, capacity - up.in_flight)
        return free

    def ready(self, model: str) -> list[Upstream]:
        """Upstreams that could answer now, the least loaded first."""
        return sorted((up for up in self._serving.get(model, ()) if up.state == "ready"), key=Upstream.load)

    def upstreams(self) -> Iterable[Upstream]:
        """All that are known, whatever their state: workers, static ones, providers."""
        yield from self.workers.values()
        yield from self.static.values()
        yield from self.externals.values()

    def _unknown(self, model: str, known: Collection[str] | None) -> ModelNotFound:
        if len(model) > LONGEST_NAME:  # finding what is like it would take minutes
            return ModelNotFound(f"There is no model with a name of {len(model)} characters.", param="model")
        names = [name for name in self.model_names() if known is None or name in known]
        near = get_close_matches(model, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "GET /v1/models lists what there is."
        if outside := self.hidden.get(model):
            hint = f"No worker serves it; the provider's model is called '{outside[0]}/{model}'."
        return ModelNotFound(f"The model {model!r} does not exist.", param="model", hint=hint)

    def _gone(self, model: str) -> ModelNotReady:
        return ModelNotReady(
            f"The model {model!r} was served until a moment ago and has no worker now.",
            param="model",
            hint="Try again in a few seconds.",
            headers={"retry-after": "5"},
        )

    def _not_ready(self, model: str, serving: list[Upstream]) -> ModelNotReady:
        best = min(serving, key=lambda up: ("loading", "draining", "down", "ready").index(up.state))
        if best.state == "loading":
            what = f"is still loading ({best.progress:.0%})"
        elif best.state == "draining":
            what = "is being stopped"
        else:
            silence_s = min(map(self.silence_s, serving))
            ago = "none has answered yet" if silence_s == math.inf else f"last signal {silence_s:.0f} s ago"
            what = f"has no living worker ({ago})"
        return ModelNotReady(
            f"The model {model!r} {what}.",
            param="model",
            hint="Try again in a few seconds.",
            headers={"retry-after": "5"},
        )

    # -- showing --------------------------------------------------------------------------------

    def silence_s(self, worker: Upstream) -> float:
        """Seconds since the last sign of life of a worker; infinite when this gateway has had none."""
        return math.inf if worker.seen is None else max(0.0, self.clock() - worker.seen)

    def model_names(self) -> list[str]:
        """Every name a client may ask for, ready or not, each once."""
        served = [name for name in self._serving if self._is_listed(name)]
        return [*served, *(name for name in self.aliases if name not in self._serving)]

    def _is_listed(self, name: str) -> bool:
        """A provider's model has two names; the long one is shown where the short one is not its own."""
        provider = self._serving[name][0]
        short = provider.name_of(name)
        return provider.kind == "worker" or short == name or short in self.own

    def cards(self) -> dict[str, tuple[ModelCard, Upstream]]:
        """Name, aliases included -> card of the model and the upstream in the best state that serves it."""
        order = ("ready", "loading", "draining", "down")
        best = {
            name: min(serving, key=lambda up: order.index(up.state))
            for name, serving in self._serving.items()
        }
        names = dict(self.aliases) | {name: name for name in best if self._is_listed(name)}
        return {
            name: (best[target].models[target], best[target])
            for name, target in names.items()
            if target in best
        }

    def status_models(self) -> list[StatusModel]:
        """One entry a model name, from memory."""
        return [self._status_of(name, card, up) for name, (card, up) in self.cards().items()]

    def _status_of(self, name: str, card: ModelCard, up: Upstream) -> StatusModel:
        workers = [w for w in self._serving.get(card.name, ()) if w.kind == "worker"]
        external = up.kind == "external"
        silence_s = min(map(self.silence_s, workers), default=math.inf)
        return StatusModel(
            id=name,
            kind=up.kind,
            provider=up.id if external else None,
            state=up.state,
            progress=up.progress,
            detail=up.detail,
            workers=sum(w.state == "ready" for w in workers),
            running=up.in_flight if external else sum(w.running for w in workers),
            waiting=sum(w.waiting for w in workers),
            last_seen_s=None if external or silence_s == math.inf else silence_s,
            **card.model_dump(
                include={"base", "method", "licence", "template", "template_hash"}
                | {"context_length", "dtype", "parameters"}
            ),
        )

    def breaker_states(self) -> dict[str, BreakerState]:
        """Upstream id -> what its breaker does."""
        return {up.id: up.breaker.state for up in self.upstreams()}

    def status_providers(self) -> list[StatusProvider]:
        """Every configured provider, with or without a key."""
        return [
            StatusProvider(
                name=p.name,
                configured=p.name in self.externals,
                key_env=p.key_env,
                models=list(p.models),
                hidden=[name for name, providers in self.hidden.items() if p.name in providers],
            )
            for p in self.providers
        ]


def hidden_in_words(name: str, providers: Sequence[str]) -> str:
    """That requests for `name` stay in the house, and how to reach the provider's model."""
    whose = ", ".join(repr(provider) for provider in providers)
    full = " or ".join(f"{provider}/{name}" for provider in providers)
    return f"{name!r} is a name of our own: {whose} lists it, too, and is asked only for {full}"
