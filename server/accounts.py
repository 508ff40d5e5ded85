"""Who may ask, for what and how much: keys, limits, budgets and the ledger, joined for the relay.

The hot path works from memory. Keys that were made, changed or revoked anywhere are in force here within
REFRESH_S; the ledger is booked as often.
"""

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from pydantic import SecretStr

from common.errors import ApiError, InvalidApiKey, Overloaded, PermissionDenied, RateLimited
from server.keys import ANONYMOUS, Key, KeyStore, hash_secret
from server.ledger import Ledger, UsageReport
from server.limits import SLOTS_TTL_S, LimitStore, Window, lease_size
from server.record import Outcome, Usage
from server.store import Store, StoreFailed

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
TIDY_S = 600.0
UNIX_EPOCH = date(1970, 1, 1).toordinal()
SLOTS_AHEAD = 8
"""Concurrency slots that a process takes at once when there are enough."""

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Grant:
    """One admitted request."""

    key: Key
    model: str
    tokens: int = 0
    """Taken from the minute's allowance, until `settle` knows better."""
    minute: int = 0
    headers: Headers = field(default_factory=list)


@dataclass(slots=True)
class Meter:
    """What this process holds of one limited key's allowances."""

    key: Key
    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)
    slots: int = 0
    """Concurrency slots leased."""
    running: int = 0
    slots_until: float = 0.0
    spent: int = 0
    """Tokens of this month in the store."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, tokens: int, minute: int, now: float) -> bool:
        """Take a request with so many tokens, if what is held here is enough."""
        key = self.key
        if key.concurrency is not None and (self.running >= self.slots or now >= self.slots_until):
            return False
        if key.requests_per_min is not None and (self.requests.minute != minute or self.requests.left < 1):
            return False
        if key.tokens_per_min is not None and (self.tokens.minute != minute or self.tokens.left < tokens):
            return False
        if key.budget_tokens is not None and self.spent >= key.budget_tokens:
            return False
        self.requests.left -= 1
        self.tokens.left -= tokens
        self.running += 1
        return True

    def headers(self, now: float) -> Headers:
        """x-ratelimit-*: what is left of this minute, as far as this process knows."""
        reset = b"%ds" % (60 - int(now) % 60)
        lines: Headers = []
        for name, limit, window in (
            (b"requests", self.key.requests_per_min, self.requests),
            (b"tokens", self.key.tokens_per_min, self.tokens),
        ):
            if limit is not None:
                left = max(0, min(limit, limit - window.used + window.left))
                lines += [
                    (b"x-ratelimit-limit-" + name, b"%d" % limit),
                    (b"x-ratelimit-remaining-" + name, b"%d" % left),
                    (b"x-ratelimit-reset-" + name, reset),
                ]
        return lines


class Accounts:
    """Of one gateway process. `settle` is called exactly once for every Grant."""

    def __init__(
        self, store: Store, plain_keys: Sequence[SecretStr] = (), clock: Callable[[], float] = time.time
    ) -> None:
        """`plain_keys` come from the settings and have no limits."""
        process = secrets.token_hex(8)
        self.keys = KeyStore(store.engine)
        self.report = UsageReport(store.engine)
        self._ledger = Ledger(store.engine)
        self._limits = LimitStore(store.engine, process, clock)
        self._clock = clock
        self._plain = {
            hash_secret(secret.get_secret_value()): Key(f"env-{number}", f"env-{number}")
            for number, secret in enumerate(plain_keys, 1)
        }
        self._by_hash: dict[str, Key] = dict(self._plain)
        self._meters: dict[str, Meter] = {}
        self._version = -1

    # -- the owner's task ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the keys for the first time. Raises StoreFailed."""
        await self._follow_keys()

    async def run(self) -> None:
        """Follow changes of keys, book the ledger, keep slots leased; until cancelled."""
        failing, tidied = False, time.monotonic()
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self._follow_keys()
                await self._ledger.flush()
                await self._follow_budgets()
                await self._keep_slots()
                if time.monotonic() - tidied > TIDY_S:
                    tidied = time.monotonic()
                    await self._ledger.forget_old_batches()
                    await self._limits.forget_old_windows()
                failing = False
            except StoreFailed as error:
                if not failing:
                    logger.error("keys and ledger: %s Going on with what is known.", error)
                failing = True

    async def close(self) -> None:
        """Book what is left and give leases back."""
        try:
            await self._ledger.flush()
            await self._limits.give_back_slots()
        except StoreFailed as error:
            logger.error("the last usage could not be booked: %s", error)

    async def _follow_keys(self) -> None:
        version = await self.keys.version()
        if version == self._version:
            return
        found = await self.keys.with_hashes()
        self._by_hash = self._plain | {digest: key for digest, key in found if key.revoked is None}
        meters = {}
        for key in self._by_hash.values():
            if key.limited:
                meter = meters[key.id] = self._meters.get(key.id) or Meter(key)
                meter.key = key
        self._meters = meters
        self._version = version
        await self._follow_budgets()

    async def _follow_budgets(self) -> None:
        budgeted = [meter for meter in self._meters.values() if meter.key.budget_tokens is not None]
        if budgeted:
            today = datetime.fromtimestamp(self._clock(), UTC).date()
            spent = await self.report.tokens_since(today.replace(day=1))
            for meter in budgeted:
                meter.spent = spent.get(meter.key.id, 0) + self._ledger.unbooked_tokens(meter.key.id)

    async def _keep_slots(self) -> None:
        soon = self._clock() + SLOTS_TTL_S / 2
        for meter in list(self._meters.values()):
            if meter.slots and meter.slots_until < soon:
                async with meter.lock:
                    await self._lease_slots(meter, meter.running)

    # -- for the relay -----------------------------------------------------------------------------

    @property
    def required(self) -> bool:
        """Whether clients must send a key: as soon as there is one."""
        return bool(self._by_hash)

    def authenticate(self, token: str) -> Key:
        """The key with this secret. Raises InvalidApiKey.

        What is looked up is the secret's hash, which a client cannot steer byte by byte: the time it takes
        tells nothing about other secrets.
        """
        if not self._by_hash:
            return ANONYMOUS
        digest = hash_secret(token)
        key = self._by_hash.get(digest)
        if key is None:
            raise InvalidApiKey(
                "The API key is not valid." if token else "The API key is missing.",
                hint="Send it as `Authorization: Bearer <key>`.",
                headers={"www-authenticate": "Bearer"},
            )
        return key

    def try_admit(self, key: Key, model: str, tokens: int) -> Grant | None:
        """Admit from memory; None when the store must be asked. Raises PermissionDenied."""
        if key.models is not None and model not in key.models:
            raise PermissionDenied(
                f"The API key {key.name!r} may not use the model {model!r}.",
                param="model",
                hint="`kodolly keys` shows what it may use.",
            )
        meter = self._meters.get(key.id)
        if meter is None:
            return Grant(key, model)
        now = self._clock()
        minute = int(now) // 60
        if not meter.take(tokens, minute, now):
            return None
        return Grant(key, model, tokens, minute, meter.headers(now))

    async def admit(self, key: Key, model: str, tokens: int) -> Grant:
        """Admit with fresh leases. Raises RateLimited, and Overloaded when the limits cannot be checked: a
        store that is gone must not open what it was to guard."""
        meter = self._meters[key.id]
        try:
            async with meter.lock:
                grant = self.try_admit(key, model, tokens)
                if grant is None:
                    await self._lease(meter, tokens)
                    grant = self.try_admit(key, model, tokens)
        except StoreFailed as error:
            raise Overloaded(
                "The limits of this key cannot be checked now.",
                hint="Try again in a few seconds.",
                headers={"retry-after": "2"},
            ) from error
        if grant is None:
            raise self._refusal(meter, tokens)
        return grant

    def settle(self, grant: Grant, outcome: Outcome, usage: Usage | None) -> None:
        """The request is over: book it, and correct what it was thought to need."""
        now = self._clock()
        meter = self._meters.get(grant.key.id)
        if meter is not None:
            meter.running -= 1
            if meter.tokens.minute == grant.minute:
                spent = usage.prompt_tokens + usage.completion_tokens if usage else 0
                meter.tokens.left += grant.tokens - spent
        self._ledger.add(grant.key.id, grant.model, UNIX_EPOCH + int(now) // 86400, outcome, usage)

    # -- leases -------------------------------------------------------------------------------------

    async def _lease(self, meter: Meter, tokens: int) -> None:
        key, minute = meter.key, int(self._clock()) // 60
        if key.concurrency is not None:
            await self._lease_slots(meter, meter.running + 1)
        for kind, limit, window, needed in (
            ("requests", key.requests_per_min, meter.requests, 1),
            ("tokens", key.tokens_per_min, meter.tokens, tokens),
        ):
            if limit is None:
                continue
            window.turn_to(minute)
            missing = needed - window.left
            if missing > 0:
                wanted = lease_size(limit, missing)
                granted, window.used = await self._limits.lease(key.id, kind, minute, limit, wanted, missing)
                window.left += granted

    async def _lease_slots(self, meter: Meter, needed: int) -> None:
        limit = meter.key.concurrency or 0
        wanted = needed if not needed else min(limit, max(needed, min(SLOTS_AHEAD, limit // 8)))
        began = self._clock()
        meter.slots = await self._limits.slots(meter.key.id, limit, wanted)
        meter.slots_until = began + SLOTS_TTL_S

    def _refusal(self, meter: Meter, tokens: int) -> ApiError:
        key, now = meter.key, self._clock()
        headers = {name.decode(): value.decode() for name, value in meter.headers(now)}
        if key.budget_tokens is not None and meter.spent >= key.budget_tokens:
            return RateLimited(
                f"The key {key.name!r} has used up its {key.budget_tokens} tokens of this month.",
                code="insufficient_quota",
                hint="Raise its budget, or wait for the next month.",
                headers=headers | {"x-should-retry": "false"},
            )
        wait_s = 60 - now % 60
        if key.tokens_per_min is not None and tokens > key.tokens_per_min:
            return RateLimited(
                f"The request may need {tokens} tokens; the key {key.name!r} has only"
                f" {key.tokens_per_min} a minute.",
                hint="Ask for a shorter answer with max_tokens.",
                headers=headers | {"x-should-retry": "false"},
            )
        if key.concurrency is not None and meter.running >= meter.slots:
            wait_s, what = 1.0, f"{key.concurrency} requests at once"
        elif key.requests_per_min is not None and meter.requests.left < 1:
            what = f"{key.requests_per_min} requests a minute"
        else:
            what = f"{key.tokens_per_min} tokens a minute"
        return RateLimited(
            f"The key {key.name!r} is limited to {what}.",
            hint=f"Try again in {max(1, round(wait_s))} s.",
            headers=headers
            | {"retry-after": str(max(1, -int(-wait_s // 1))), "retry-after-ms": str(int(wait_s * 1000) + 1)},
        )


def matches_admin_token(token: str, expected: SecretStr) -> bool:
    """Whether this is the admin token of the settings, if there is one; in constant time."""
    secret = expected.get_secret_value()
    return bool(secret) and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), secret.encode())
