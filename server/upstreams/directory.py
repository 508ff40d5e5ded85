"""What the gateway knows of its upstreams, in memory: who there is and who serves which model.

Whom to ask is `choice`, what is shown to people is `status`: functions of what stands here.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from pydantic import SecretStr

from common.registry import LEASE_TTL_S, Delta, ModelCard, Snapshot, Split, WorkerRecord
from server.proxy import Proxy
from server.settings import OPENAI, ExternalProvider
from server.upstreams.own_names import OwnNames
from server.upstreams.upstream import Reported, Standing, Upstream

logger = logging.getLogger(__name__)

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
    splits: dict[str, Split] = field(default_factory=dict)
    """Name a client may ask for -> how its traffic is split between models."""
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
                self.externals[provider.name] = self._external(provider, key)
            else:
                level = logging.INFO if provider == OPENAI else logging.WARNING
                logger.log(level, "provider %s is not offered: %s is empty", provider.name, provider.key_env)
        self.own.claim(self.configured)
        self._changed()

    def _external(self, provider: ExternalProvider, key: SecretStr) -> Upstream:
        seeing = provider.image_models
        cards = {name: ModelCard(name=name, images=name in seeing) for name in provider.models}
        # By its full name a model can be asked for even where a worker has the short one.
        cards |= {f"{provider.name}/{name}": cards[name] for name in provider.models}
        reported = Reported(url=provider.base_url.rstrip("/"), key=key, models=cards)
        proxy = self.proxies.get(provider.name)
        return Upstream(provider.name, "external", reported, provider, proxy, Standing(self.clock))

    # -- following the controller ---------------------------------------------------------------

    def controller_spoke(self) -> None:
        """A controller is there, whatever it says: all workers that it lists renew their leases."""
        now = self.clock()
        for worker in self.workers.values():
            if worker.state != "down" and worker.unconfirmed_since is None:
                worker.seen = now

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Replace what is known of the workers; counters of workers that stay are kept.

        A controller that has just started knows no workers yet: those that it does not list stay until
        they have had time to register with it.
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

    def presume_down(self, worker: Upstream, why: str = "it does not answer") -> None:
        """Stop asking it until it answers again or a controller says how it is."""
        worker.presumed_down = True
        worker.report(replace(worker.reported, state="down", detail=why))
        worker.lost()
        self._changed()

    def presume_up(self, worker: Upstream) -> None:
        """It answers again."""
        worker.presumed_down = False
        worker.report(replace(worker.reported, state="ready", detail=""))
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
        reported = Reported.by(record)
        known = self.workers.get(record.worker_id)
        if known is None or known.reported.incarnation != record.incarnation:
            if known is not None:
                known.lost()
            known = Upstream(record.worker_id, "worker", reported, standing=Standing(self.clock))
            self.workers[record.worker_id] = known
        known.report(reported)
        known.unconfirmed_since = None
        known.presumed_down = False
        if record.state == "down":
            known.lost()

    def set_aliases(self, aliases: dict[str, str], splits: dict[str, Split] | None = None) -> None:
        """Replace the run-time aliases, and how traffic is split."""
        self.aliases, self.splits = aliases, splits or {}
        self._changed()

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

    # -- looking up -----------------------------------------------------------------------------

    def serving(self, model: str) -> Sequence[Upstream]:
        """Who serves a model, whatever their state; aliases are not looked at (see `choice.resolve`)."""
        return self._serving.get(model, ())

    def upstreams(self) -> Iterable[Upstream]:
        """All that are known, whatever their state: workers, static ones, providers."""
        yield from self.workers.values()
        yield from self.static.values()
        yield from self.externals.values()

    def silence_s(self, worker: Upstream) -> float:
        """Seconds since the last sign of life of a worker; infinite when this gateway has had none."""
        return math.inf if worker.seen is None else max(0.0, self.clock() - worker.seen)

    def served(self) -> Iterable[tuple[str, Sequence[Upstream]]]:
        """Each model's name and all who serve it."""
        return self._serving.items()

    def model_names(self) -> list[str]:
        """Every name a client may ask for, ready or not, each once."""
        served = [name for name in self._serving if self.is_listed(name)]
        return [*served, *(name for name in self.aliases if name not in self._serving)]

    def is_listed(self, name: str) -> bool:
        """Whether a served name is shown. A provider's model has two: the short one is, unless it is the
        house's own; then the long one is."""
        provider = self._serving[name][0]
        short = provider.name_of(name)
        return provider.kind == "worker" or short == name or short in self.own


def hidden_in_words(name: str, providers: Sequence[str]) -> str:
    """That requests for `name` stay in the house, and how to reach the provider's model."""
    whose = ", ".join(repr(provider) for provider in providers)
    full = " or ".join(f"{provider}/{name}" for provider in providers)
    return f"{name!r} is a name of our own: {whose} lists it, too, and is asked only for {full}"
