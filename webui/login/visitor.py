"""Who is served right now. The gateway's client asks for their key, so that no page can use another's."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["member", "rater", "admin"]
STATE = "visitor"
"""The key of the visitor in a request's state."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who has logged in."""

    user: str
    """Id in the store."""
    name: str
    admin: bool
    key: str | None = field(default=None, repr=False)
    """The gateway's key that they ask with; None is the page's own."""
    rater: bool = False
    """Named among the raters."""

    @property
    def role(self) -> Role:
        """Raters see the study page alone, administrators everything."""
        if self.admin:
            return "admin"
        return "rater" if self.rater else "member"


_now: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


@contextmanager
def serving(visitor: Visitor | None) -> Iterator[None]:
    """Within the block, and in tasks that begin in it, the gateway is asked in the name of `visitor`."""
    before = _now.get()
    _now.set(visitor)
    try:
        yield
    finally:
        _now.set(before)


def visitor_key() -> str | None:
    """The key of whoever is served; None where nobody is, who then gets no key at all."""
    visitor = _now.get()
    return visitor.key if visitor else None


def visitor_of(state: Any) -> Visitor | None:
    """Whom the gate has let in, by the state of their request."""
    return getattr(state, STATE, None)


def user_id(login: str, name: str) -> str:
    """The id in the store of whom `login` (key, header) knows as `name`."""
    return hashlib.sha256(f"{login}:{name}".encode()).hexdigest()
