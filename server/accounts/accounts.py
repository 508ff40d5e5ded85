"""Who may ask, for what and how much: keys, limits, budgets and the ledger, joined for the relay.

The hot path works from memory. Keys that were made, changed or revoked anywhere are in force here within
REFRESH_S, those of this process's own routes at once; the ledger is booked as often.
"""

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import date

from pydantic import SecretStr

from common.database import StoreFailed
from server.accounts.budgets import Ask, Budget, Budgets
from server.accounts.keys import ANONYMOUS, ON_BEHALF, Key, KeyStore, hash_secret
from server.accounts.leases import Leases
from server.accounts.ledger import Entry, Ledger, UsageReport
from server.accounts.limits import ASK_AGAIN_S, LimitStore
from server.accounts.meter import Grant, Meter
from server.accounts.prices import NO_PRICES, Prices
from server.accounts.refusals import expired_key, foreign_model, over_limit, unchecked_limits, unknown_key
from server.record import NO_FACTS, BookedFacts, RecordedOutcome, Usage
from server.store.opening import GatewayStore

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
BUDGET_PATIENCE_S = 2.0
"""How long a request waits for tokens of a budget that are not spent, but held for others. Whoever holds them
idle gives them back within REFRESH_S."""
TIDY_S = 600.0
UNIX_EPOCH = date(1970, 1, 1).toordinal()


class Accounts:
    """Of one gateway process. `settle` is called exactly once for every Grant."""

    def __init__(
        self,
        store: GatewayStore,
        plain_keys: Sequence[SecretStr] = (),
        clock: Callable[[], float] = time.time,
        *,
        required: bool = False,
        documents_token: str = "",
        prices: Prices = NO_PRICES,
    ) -> None:
        """`plain_keys` come from the settings and have no limits; `documents_token` is that of the service,
        "" where there is none. With `required`, nobody comes without a
        key, also when none is known: a store that was lost lets nobody in."""
        process = secrets.token_hex(8)
        self.keys = KeyStore(store.database)
        self.report = UsageReport(store.database, prices)
        self._ledger = Ledger(store.database)
        self._limits = LimitStore(store.database, process, clock)
        self._budgets = Budgets(store.database, self._ledger, process, clock)
        self._leases = Leases(self._limits, self._budgets, clock)
        self._clock = clock
        self._plain = _keys_of_settings(plain_keys)
        self._on_behalf = hash_secret(documents_token) if documents_token else ""
        self._by_hash: dict[str, Key] = dict(self._plain)
        self._meters: dict[str, Meter] = {}
        self._always = required
        self._required = required or bool(self._plain)
        """A key is asked for: from the first one on, even when it has been revoked."""
        self._version = -1
        self._following = asyncio.Lock()

    # -- the owner's task ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow changes of keys, book the ledger, keep slots leased; until cancelled."""
        failing, tidied = False, time.monotonic()
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.follow_keys()
                await self._budgets.book(self._meters)
                await self._budgets.keep(list(self._meters.values()))
                await self._leases.keep_slots(list(self._meters.values()))
                await self._leases.settle_windows(list(self._meters.values()))
                if time.monotonic() - tidied > TIDY_S:
                    tidied = time.monotonic()
                    await self._ledger.forget_old_batches()
                    await self._limits.forget_old_windows()
                    await self._budgets.forget_expired()
                failing = False
            except StoreFailed as error:
                if not failing:
                    logger.error("keys and ledger: %s Going on with what is known.", error)
                failing = True
            except Exception:  # whatever it is, booking goes on
                logger.exception("keys and ledger: going on")

    async def close(self) -> None:
        """Book what is left and give leases back."""
        try:
            await self._budgets.book(self._meters)
            await self._budgets.give_back()
            await self._limits.give_back_slots()
            for meter in self._meters.values():
                await self._leases.settle_window(meter, leases_kept=0)
        except StoreFailed as error:
            logger.error("the last usage could not be booked: %s", error)

    async def follow_keys(self) -> None:
        """Take into force what the store has of keys now. Raises StoreFailed."""
        async with self._following:  # or what was read first could be taken into force last
            version = await self.keys.version()
            if version == self._version:
                return
            found = await self.keys.with_hashes()
            self._required = self._always or bool(self._plain or found)
            self._by_hash = self._plain | {digest: key for digest, key in found if key.revoked is None}
            meters = {}
            for key in self._by_hash.values():
                if key.limited:
                    meter = meters[key.id] = self._meters.get(key.id) or self._new_meter(key)
                    meter.budget.unsure |= meter.key.budget_tokens != key.budget_tokens
                    meter.key = key
            self._meters = meters
            self._version = version

    def _new_meter(self, key: Key) -> Meter:
        return Meter(key, budget=Budget(unbooked=self._ledger.unbooked_tokens(key.id)))

    # -- for the relay -----------------------------------------------------------------------------

    @property
    def required(self) -> bool:
        """Whether clients must send a key: as soon as there was one, and also when it was revoked."""
        return self._required

    def authenticate(self, token: str) -> Key:
        """The key with this secret. Raises InvalidApiKey.

        What is looked up is the secret's hash, which a client cannot steer byte by byte: the time it takes
        tells nothing about other secrets.
        """
        if not self._required and not (token and self._on_behalf):
            return ANONYMOUS
        digest = hash_secret(token)
        if digest == self._on_behalf:
            return ON_BEHALF
        if not self._required:
            return ANONYMOUS
        key = self._by_hash.get(digest)
        if key is None:
            raise unknown_key(token, any_in_force=bool(self._by_hash))
        if key.expires is not None and self._clock() >= key.expires.timestamp():
            raise expired_key(key)
        return key

    def check_model(self, key: Key, model: str) -> None:
        """Raises PermissionDenied when the key may not use the model; whether there is one is not told."""
        if not key.may_use(model):
            raise foreign_model(key, model)

    async def admit_call(self, key: Key) -> Grant:
        """Admit a request that no model answers: it counts as one request without tokens, and is not in the
        ledger. Raises as `admit` does."""
        return self.try_admit(key, None, 0) or await self.admit(key, None, 0)

    def try_admit(self, key: Key, model: str | None, tokens: int, ask: Ask | None = None) -> Grant | None:
        """Admit from memory; None when the store must be asked. Raises PermissionDenied.

        `tokens` is what the request will probably take, `ask` what is to be set aside for it of a budget: the
        same unless told otherwise.
        """
        if model is not None and key.models is not None:
            self.check_model(key, model)
        meter = self._meters.get(key.id)
        if meter is None:
            return Grant(key, model)
        now = self._clock()
        minute = int(now) // 60
        reserved = meter.take(tokens, ask or Ask(tokens, tokens), minute, now)
        if reserved is None:
            return None
        return Grant(key, model, tokens, minute, reserved, meter.header_lines(now), meter)

    async def admit(self, key: Key, model: str | None, tokens: int, ask: Ask | None = None) -> Grant:
        """Admit with fresh leases. Raises RateLimited, and Overloaded when the limits cannot be checked:
        without the store nobody gets past them."""
        meter = self._meters[key.id]
        ask = ask or Ask(tokens, tokens)
        meter.waiting += 1
        meter.waiting_tokens += tokens
        meter.waiting_most += ask.most
        patience = time.monotonic() + BUDGET_PATIENCE_S
        try:
            while (grant := await self._admit_now(meter, model, tokens, ask)) is None:
                if not _may_soon_fit(meter, ask, self._clock()) or time.monotonic() > patience:
                    raise over_limit(meter, tokens, ask, self._clock())
                await asyncio.sleep(ASK_AGAIN_S)
        except StoreFailed as error:
            raise unchecked_limits() from error
        finally:
            meter.waiting -= 1
            meter.waiting_tokens -= tokens
            meter.waiting_most -= ask.most
        return grant

    async def _admit_now(self, meter: Meter, model: str | None, tokens: int, ask: Ask) -> Grant | None:
        async with meter.lock:
            # Again, when a request that did not have to wait has taken what was leased for this one.
            while (grant := self.try_admit(meter.key, model, tokens, ask)) is None:
                if not await self._leases.lease(meter, tokens, ask):
                    return None
        return grant

    def settle(
        self, grant: Grant, outcome: RecordedOutcome, usage: Usage | None, facts: BookedFacts = NO_FACTS
    ) -> None:
        """The request is over: book it, and correct what it was thought to need."""
        now = self._clock()
        meter = grant.meter
        spent = usage.prompt_tokens + usage.completion_tokens if usage else 0
        if meter is not None:
            meter.running -= 1
            meter.budget.release(grant.reserved)
            unspent = grant.tokens - spent
            # What a minute that is over did not need is void; what it did not have is owed by the next one.
            if meter.key.tokens_per_min is not None and (unspent < 0 or meter.tokens.minute == grant.minute):
                meter.tokens.left += unspent
        if (owing := self._meters.get(grant.key.id)) is not None:
            owing.budget.unbooked += spent
        if grant.model is not None:
            day = UNIX_EPOCH + int(now) // 86400
            entry = Entry(grant.key.id, grant.model, facts.arm, facts.checkpoint, day)
            self._ledger.add(entry, outcome, usage, facts.code)


def _keys_of_settings(secrets_given: Sequence[SecretStr]) -> dict[str, Key]:
    """Hash of the secret -> key; empty ones are none."""
    return {
        hash_secret(secret.get_secret_value()): Key(f"env-{number}", f"env-{number}")
        for number, secret in enumerate(secrets_given, 1)
        if secret.get_secret_value()
    }


def _may_soon_fit(meter: Meter, ask: Ask, now: float) -> bool:
    """Whether nothing is missing but tokens of a budget that other requests or processes hold for now."""
    return meter.lacks_budget(ask, now) and meter.budget.is_enough_for(ask)


def matches_admin_token(token: str, expected: SecretStr) -> bool:
    """Whether this is the admin token of the settings, if there is one; in constant time."""
    secret = expected.get_secret_value()
    return bool(secret) and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), secret.encode())
