"""One worker or provider: what it reported, how it stands, and who is asking it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from common.registry import ModelCard, WorkerRecord, WorkerState
from server.proxy import Proxy
from server.settings import ExternalProvider
from server.upstreams.affinity import affinity_hash
from server.upstreams.breaker import Breaker
from server.upstreams.connect import Origin, origin_of
from server.upstreams.provider_request import provider_head

COOLDOWN_S = 2.0
"""How long an upstream that refused a connection is asked last."""
MOST_HEADS = 64
"""Paths whose request head is kept ready; the relay has fewer, other callers may bring any."""

DOCUMENTS_ID = "documents"
"""Id of the documents service among the upstreams."""


class Asker(Protocol):
    """Who waits for an upstream's answer."""

    def upstream_lost(self) -> None:
        """The upstream is gone: no byte will come."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a worker last said of itself, or what the settings say of a provider."""

    url: str
    """Without a trailing slash; a provider's includes the version path."""
    key: SecretStr
    models: Mapping[str, ModelCard]
    """By the names that clients ask for."""
    state: WorkerState = "ready"
    progress: float = 1.0
    detail: str = ""
    incarnation: str = ""
    running: int = 0
    waiting: int = 0
    capacity: int = 0
    """Requests it runs at once; 0 is unknown."""

    @classmethod
    def by(cls, record: WorkerRecord) -> Self:
        """What a controller passes on from a worker."""
        return cls(
            url=record.url.rstrip("/"),
            key=record.engine_key,
            models={card.name: card for card in record.models},
            state=record.state,
            progress=record.progress,
            detail=record.detail,
            incarnation=record.incarnation,
            running=record.load.running,
            waiting=record.load.waiting,
            capacity=record.capacity,
        )


class Standing:
    """How an upstream does at this gateway's requests. Times are the clock's."""

    __slots__ = ("_clock", "breaker", "in_flight", "resting_until")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.breaker = Breaker(clock)
        self.in_flight = 0
        """Requests that this gateway has there now."""
        self.resting_until = 0.0
        """Asked last until then: it refused a connection."""

    def begin(self) -> int:
        """An attempt begins, whatever the breaker says: an open one is a last resort. Returns its ticket."""
        self.in_flight += 1
        return self.breaker.force()

    def end(self, ticket: int, well: bool | None) -> None:
        """The attempt is over: the upstream did what it should, or not, or that is not known (None)."""
        self.in_flight -= 1
        if well is None:
            self.breaker.abandoned(ticket)
        elif well:
            self.breaker.succeeded(ticket)
        else:
            self.breaker.failed(ticket)

    def rest(self) -> None:
        """Ask it last for a moment."""
        self.resting_until = self._clock() + COOLDOWN_S


@dataclass(slots=True, eq=False)
class Upstream:
    """A worker or an external provider: what it reported, and how it stands with this gateway."""

    id: str
    kind: Literal["worker", "external"]
    reported: Reported
    provider: ExternalProvider | None = None
    """Of an external one: what its settings say."""
    proxy: Proxy | None = None
    standing: Standing = field(default_factory=Standing)
    told_owner: bool = False
    """Whether it is told which key asks: the documents service alone, which is ours."""
    seen: float | None = None
    """When it last gave a sign of life, by the directory's clock; None when this gateway has had none."""
    presumed_down: bool = False
    """Found silent by this gateway itself while no controller was there."""
    unconfirmed_since: float | None = None
    """Since when the controller in charge does not know it, by the directory's clock."""
    askers: set[Asker] = field(default_factory=set)
    """Who waits for its answers."""
    seed: int = field(init=False)
    _heads: dict[bytes, bytes] = field(default_factory=dict)
    _origin: Origin | None = None

    def __post_init__(self) -> None:
        self.seed = affinity_hash(self.id.encode())

    @property
    def state(self) -> WorkerState:
        """As reported."""
        return self.reported.state

    @property
    def models(self) -> Mapping[str, ModelCard]:
        """As reported, by the names that clients ask for."""
        return self.reported.models

    def report(self, reported: Reported) -> None:
        """It says, or it was found, that it is like this now."""
        if (reported.url, reported.key) != (self.reported.url, self.reported.key):
            self._origin = None
            self._heads.clear()
        self.reported = reported

    @property
    def origin(self) -> Origin:
        """Where to connect to."""
        if self._origin is None:
            limit_s = self.provider.connect_timeout_s if self.provider is not None else None
            self._origin = origin_of(self.reported.url, self.proxy, limit_s)
        return self._origin

    def request_head(self, method: bytes, path: bytes) -> bytes:
        """Request line and the headers that are the same for every request, up to and without the empty line.

        An external base URL carries the version path itself.
        """
        head = self._heads.get(path)
        if head is None or method != b"POST":
            if self.provider is not None:
                head = provider_head(method, path, self.provider, self.reported.key, self.proxy)
            else:
                netloc = urlsplit(self.reported.url).netloc.encode()
                head = b"%b %b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n" % (method, path, netloc)
                if key := self.reported.key.get_secret_value():
                    head += b"authorization: Bearer %b\r\n" % key.encode()
            if method == b"POST" and len(self._heads) < MOST_HEADS:
                self._heads[path] = head
        return head

    def lost(self) -> None:
        """It is gone: who still waits for its first word need not wait for a time-out."""
        for asker in list(self.askers):
            asker.upstream_lost()

    def name_of(self, model: str) -> str:
        """What it calls the model that is known here as `model`."""
        card = self.reported.models.get(model)
        return card.name if card is not None else model

    def checkpoint_of(self, model: str) -> str:
        """Id of the weights behind the model that is known here as `model`; "" when unknown."""
        card = self.models.get(model)
        return card.checkpoint or "" if card is not None else ""

    def load(self) -> int:
        """Requests ahead of the next one, as far as this gateway knows."""
        return self.standing.in_flight + self.reported.waiting
