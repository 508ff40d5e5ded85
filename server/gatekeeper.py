"""Who may ask, for what, how much: the questions the relay asks, whoever answers them."""

from dataclasses import dataclass, field
from typing import Protocol

from common.http import require_token
from server.record import Outcome, Usage
from server.settings import GatewaySettings


class Key(Protocol):
    """An API key, or the anonymous one of an open gateway."""

    @property
    def id(self) -> str:
        """Public id."""


class Grant(Protocol):
    """One admitted request, to be settled exactly once."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """x-ratelimit-* for the answer."""


class Gatekeeper(Protocol):
    """Answers from memory where it can: `try_admit` is the hot path, `admit` may ask the store."""

    def authenticate(self, token: str) -> Key:
        """Raises InvalidApiKey."""

    def try_admit(self, key: Key, model: str, tokens: int) -> Grant | None:
        """None: `admit` must be awaited."""

    async def admit(self, key: Key, model: str, tokens: int) -> Grant:
        """Raises PermissionDenied or RateLimited."""

    def settle(self, grant: Grant, outcome: Outcome, usage: Usage | None) -> None:
        """The request is over."""


@dataclass(frozen=True, slots=True)
class PlainKey:
    """A key without limits."""

    id: str


@dataclass(frozen=True, slots=True)
class Open:
    """A grant that costs nothing."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class PlainKeys:
    """The keys of the settings alone, without limits."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._accepted = tuple(key.get_secret_value() for key in settings.api_keys)
        self._key, self._grant = PlainKey("env"), Open()

    def authenticate(self, token: str) -> Key:
        if self._accepted:
            require_token(token, self._accepted)
        return self._key

    def try_admit(self, key: Key, model: str, tokens: int) -> Grant | None:
        return self._grant

    async def admit(self, key: Key, model: str, tokens: int) -> Grant:
        return self._grant

    def settle(self, grant: Grant, outcome: Outcome, usage: Usage | None) -> None:
        pass
