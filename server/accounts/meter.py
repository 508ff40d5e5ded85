"""What a request was granted, and the count of what it used."""

import asyncio
from dataclasses import dataclass, field

import msgspec

from server.accounts.budgets import Ask, Budget
from server.accounts.keys import Key
from server.accounts.limits import Window

_REQUESTS_LEFT, _TOKENS_LEFT = (
    b"x-ratelimit-limit-%b: %%d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %%ds\r\n"
    % (kind, kind, kind)
    for kind in (b"requests", b"tokens")
)


class Grant(msgspec.Struct):
    """One admitted request."""

    key: Key
    model: str | None
    """None for a request that no model answers."""
    tokens: int = 0
    """Taken from the minute's allowance, until `settle` knows better."""
    minute: int = 0
    reserved: int = 0
    """Taken from the month's budget, until it ends."""
    header_lines: bytes = b""
    """The answer's, about limits."""
    meter: "Meter | None" = None
    """Where it was counted; the key's limits may change while the request runs."""


@dataclass(slots=True)
class Meter:
    """What this process holds of one limited key's allowances."""

    key: Key
    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)
    slots: int = 0
    """Concurrency slots leased."""
    running: int = 0
    peak: int = 0
    """Most requests that ran at once since slots were last looked through."""
    slots_until: float = 0.0
    slots_ask_again: float = 0.0
    budget: Budget = field(default_factory=Budget)
    waiting: int = 0
    """Requests that ask the store now. What they need is leased in one go: a store is slow."""
    waiting_tokens: int = 0
    waiting_most: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, tokens: int, ask: Ask, minute: int, now: float) -> int | None:
        """Take a request with so many tokens, and what it asks of the budget, if what is held here is enough.
        Returns what was set aside of the budget; None if nothing was taken."""
        key = self.key
        if key.concurrency is not None and (self.running >= self.slots or now >= self.slots_until):
            return None
        if key.requests_per_min is not None and (self.requests.minute != minute or self.requests.left < 1):
            return None
        if key.tokens_per_min is not None and (self.tokens.minute != minute or self.tokens.left < tokens):
            return None
        reserved: int | None = 0
        if ask.most and key.budget_tokens is not None:
            reserved = self.budget.take(ask, now)
            if reserved is None:
                return None
        if key.requests_per_min is not None:
            self.requests.left -= 1
        if key.tokens_per_min is not None:
            self.tokens.left -= tokens
        self.running += 1
        if self.running > self.peak:
            self.peak = self.running
        return reserved

    def lacks_budget(self, ask: Ask, now: float) -> bool:
        """Whether more of the budget must be leased for a request."""
        limited = self.key.budget_tokens is not None and ask.most > 0
        return limited and self.budget.part_for(ask, now) is None

    def windows(self) -> list[tuple[str, int, Window]]:
        """Kind, limit and window of what is limited by the minute."""
        found = (
            ("requests", self.key.requests_per_min, self.requests),
            ("tokens", self.key.tokens_per_min, self.tokens),
        )
        return [(kind, limit, window) for kind, limit, window in found if limit is not None]

    def header_lines(self, now: float) -> bytes:
        """x-ratelimit-*, each line with its CRLF: what is left of this minute, as far as is known here."""
        reset = 60 - int(now) % 60
        lines = b""
        if (limit := self.key.requests_per_min) is not None:
            lines = _REQUESTS_LEFT % (limit, self.requests.left_of(limit), reset)
        if (limit := self.key.tokens_per_min) is not None:
            lines += _TOKENS_LEFT % (limit, self.tokens.left_of(limit), reset)
        return lines
