"""One worker or provider: what it reported, how it stands, and who is asking it."""

from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from common.registry import ModelCard, WorkerState
from server.proxy import Proxy
from server.settings import ExternalProvider
from server.upstreams.affinity import affinity_hash
from server.upstreams.breaker import Breaker
from server.upstreams.connect import Origin, origin_of
from server.upstreams.provider_request import provider_head

COOLDOWN_S = 2.0
"""How long an upstream that refused a connection is asked last."""


class Asker(Protocol):
    """Who waits for an upstream's answer."""

    def upstream_lost(self) -> None:
        """The upstream is gone: no byte will come."""


@dataclass(slots=True, eq=False)
class Upstream:
    """A worker or an external provider. `in_flight` is raised and lowered by the relay alone."""

    id: str
    kind: Literal["worker", "external"]
    url: str
    """Without a trailing slash; external URLs include the version path."""
    key: SecretStr
    models: dict[str, ModelCard]
    state: WorkerState = "ready"
    progress: float = 1.0
    detail: str = ""
    incarnation: str = ""
    running: int = 0
    waiting: int = 0
    seen: float | None = None
    """Monotonic seconds of the last sign of life; None when this gateway has had none."""
    presumed_down: bool = False
    """Found silent by this gateway itself while no controller was there."""
    unconfirmed_since: float | None = None
    """Monotonic seconds since when the controller in charge does not know it."""
    in_flight: int = 0
    capacity: int = 0
    """Requests it runs at once; 0 is unknown."""
    cooldown_until: float = 0.0
    breaker: Breaker = field(default_factory=Breaker)
    seed: int = 0
    provider: ExternalProvider | None = None
    """Of an external one: what its settings say."""
    proxy: Proxy | None = None
    exchanges: "set[Asker]" = field(default_factory=set)
    """Requests that it is answering."""
    _heads: dict[bytes, bytes] = field(default_factory=dict)
    _origin: Origin | None = None

    @property
    def origin(self) -> Origin:
        """Where to connect to."""
        if self._origin is None:
            limit_s = self.provider.connect_timeout_s if self.provider is not None else None
            self._origin = origin_of(self.url, self.proxy, limit_s)
        return self._origin

    def request_head(self, method: bytes, path: bytes) -> bytes:
        """Request line and the headers that are the same for every request, up to and without the empty line.

        An external base URL carries the version path itself.
        """
        head = self._heads.get(path)
        if head is None or method != b"POST":
            if self.provider is not None:
                head = provider_head(method, path, self.provider, self.key, self.proxy)
            else:
                netloc = urlsplit(self.url).netloc.encode()
                head = b"%b %b HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n" % (method, path, netloc)
                if key := self.key.get_secret_value():
                    head += b"authorization: Bearer %b\r\n" % key.encode()
            if method == b"POST" and len(self._heads) < 64:
                self._heads[path] = head
        return head

    def forget_address(self) -> None:
        """URL or key have changed."""
        self._origin = None
        self._heads.clear()

    def __post_init__(self) -> None:
        self.seed = affinity_hash(self.id.encode())

    def lost(self) -> None:
        """It is gone: who still waits for its first word need not wait for a time-out."""
        for exchange in list(self.exchanges):
            exchange.upstream_lost()

    def name_of(self, model: str) -> str:
        """What it calls the model that is known here as `model`."""
        card = self.models.get(model)
        return card.name if card is not None else model

    def load(self) -> int:
        """Requests ahead of the next one, as far as this gateway knows."""
        return self.in_flight + self.waiting
