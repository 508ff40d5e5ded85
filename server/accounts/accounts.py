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
from datetime import date
from difflib import get_close_matches

from pydantic import SecretStr

from common.errors import ApiError, InvalidApiKey, Overloaded, PermissionDenied, RateLimited
from server.accounts.budgets import Ask, Budget, Budgets
from server.accounts.keys import ANONYMOUS, ON_BEHALF, Key, KeyStore, hash_secret
from server.accounts.ledger import Entry, Ledger, UsageReport
from server.accounts.limits import ASK_AGAIN_S, PARTS, SLOTS_TTL_S, LimitStore, lease_size
from server.accounts.meter import Grant, Meter
from server.record import Outcome, Usage
from server.store.database import StoreFailed
from server.store.opening import Store

logger = logging.getLogger(__name__)

REFRESH_S = 1.0
BUDGET_PATIENCE_S = 2.0
"""How long a request waits for tokens of a budget that are not spent, but held for others. Whoever holds them
idle gives them back within REFRESH_S."""
TIDY_S = 600.0
LONGEST_NAME = 500
"""So many characters of a model's name are compared with those that a key may use: more take minutes."""
UNIX_EPOCH = date(1970, 1, 1).toordinal()


class Accounts:
    """Of one gateway process. `settle` is called exactly once for every Grant."""

    def __init__(
        self,
        store: Store,
        plain_keys: Sequence[SecretStr] = (),
        clock: Callable[[], float] = time.time,
        *,
        required: bool = False,
        documents_token: str = "",
    ) -> None:
        """`plain_keys` come from the settings and have no limits; `documents_token` is that of the service,
        "" where there is none. With `required`, nobody comes without a
        key, also when none is known: a store that was lost lets nobody in."""
        process = secrets.token_hex(8)
        self.keys = KeyStore(store.database)
        self.report = UsageReport(store.database)
        self._ledger = Ledger(store.database)
        self._limits = LimitStore(store.database, process, clock)
        self._budgets = Budgets(store.database, self._ledger, process, clock)
        self._clock = clock
        self._plain = {
            hash_secret(secret.get_secret_value()): Key(f"env-{number}", f"env-{number}")
            for number, secret in enumerate(plain_keys, 1)
            if secret.get_secret_value()
        }
        self._on_behalf = hash_secret(documents_token) if documents_token else ""
        self._by_hash: dict[str, Key] = dict(self._plain)
        self._meters: dict[str, Meter] = {}
        self._always = required
        self._required = required or bool(self._plain)
        """A key is asked for: from the first one on, even when it has been revoked."""
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
                await self._budgets.book(self._meters)
                await self._budgets.keep(list(self._meters.values()))
                await self._keep_slots()
                await self._settle_windows()
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
                await self._settle_window(meter, leases_kept=0)
        except StoreFailed as error:
            logger.error("the last usage could not be booked: %s", error)

    async def _follow_keys(self) -> None:
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

    async def _keep_slots(self) -> None:
        soon = self._clock() + SLOTS_TTL_S / 2
        for meter in list(self._meters.values()):
            peak, meter.peak = max(meter.peak, meter.running), meter.running
            ahead = (meter.key.concurrency or 0) // PARTS
            # What was leased ahead stays for a load that goes up and down a little.
            if meter.slots and (meter.slots_until < soon or meter.slots > peak + 2 * ahead):
                async with meter.lock:
                    await self._lease_slots(meter, peak + ahead)

    async def _settle_windows(self) -> None:
        for meter in list(self._meters.values()):
            async with meter.lock:
                await self._settle_window(meter, leases_kept=1)

    async def _settle_window(self, meter: Meter, leases_kept: int) -> None:
        """Tell the store what answers took beyond their estimates, and give back what they did not need:
        other processes must be refused for the one and need not be for the other."""
        minute = int(self._clock()) // 60
        for kind, limit, window in meter.windows():
            kept = leases_kept * lease_size(limit, 0)
            if window.left < 0:
                window.turn_to(minute)
            if window.minute == minute and not 0 <= window.left <= kept:
                surplus = window.left - kept if window.left > 0 else window.left
                window.left -= surplus
                window.used = await self._limits.book(meter.key.id, kind, minute, -surplus)

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
        if key is None and not self._by_hash:
            raise InvalidApiKey(
                "This gateway asks for a key, and no key is in force.",
                hint="Make one with `kodolly keys create NAME`. If there were some, look for its database.",
                headers={"www-authenticate": "Bearer"},
            )
        if key is None:
            raise InvalidApiKey(
                "The API key is not valid." if token else "The API key is missing.",
                hint="Send it as `Authorization: Bearer <key>`.",
                headers={"www-authenticate": "Bearer"},
            )
        if key.expires is not None and self._clock() >= key.expires.timestamp():
            raise InvalidApiKey(
                f"The API key {key.name!r} expired at {key.expires:%Y-%m-%d %H:%M} UTC.",
                hint=f"Prolong it with `kodolly keys update {key.id} --expires 30d`.",
                headers={"www-authenticate": "Bearer"},
            )
        return key

    def check_model(self, key: Key, model: str) -> None:
        """Raises PermissionDenied when the key may not use the model; whether there is one is not told."""
        if not key.may_use(model):
            near = get_close_matches(model[:LONGEST_NAME], key.models or (), n=1)
            meant = f"Did you mean {near[0]!r}? " if near else ""
            raise PermissionDenied(
                f"The API key {key.name!r} may not use the model {model!r}.",
                param="model",
                hint=f"{meant}`kodolly keys list` shows what it may use,"
                f" `kodolly keys update {key.id} --model NAME` changes it.",
            )

    async def admit_call(self, key: Key) -> Grant:
        """Admit a request that no model answers: it counts as one request without tokens, and is not in the
        ledger. Raises as `admit` does."""
        return self.try_admit(key, None, 0) or await self.admit(key, None, 0)

    def try_admit(self, key: Key, model: str | None, tokens: int, ask: Ask | None = None) -> Grant | None:
        """Admit from memory; None when the store must be asked. Raises PermissionDenied.

        `tokens` is what the request will probably take, `ask` what is to be set aside for it of a budget: the
        same unless told otherwise.
        """
        if model is not None:
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
        """Admit with fresh leases. Raises RateLimited, and Overloaded when the limits cannot be checked: a
        store that is gone must not open what it was to guard."""
        meter = self._meters[key.id]
        ask = ask or Ask(tokens, tokens)
        meter.waiting += 1
        meter.waiting_tokens += tokens
        meter.waiting_most += ask.most
        patience = time.monotonic() + BUDGET_PATIENCE_S
        try:
            while (grant := await self._admit_now(meter, model, tokens, ask)) is None:
                if not self._may_soon_fit(meter, ask) or time.monotonic() > patience:
                    raise self._refusal(meter, tokens, ask)
                await asyncio.sleep(ASK_AGAIN_S)
        except StoreFailed as error:
            raise Overloaded(
                "The limits of this key cannot be checked now.",
                hint="Try again in a few seconds.",
                headers={"retry-after": "2"},
            ) from error
        finally:
            meter.waiting -= 1
            meter.waiting_tokens -= tokens
            meter.waiting_most -= ask.most
        return grant

    async def _admit_now(self, meter: Meter, model: str | None, tokens: int, ask: Ask) -> Grant | None:
        async with meter.lock:
            # Again, when a request that did not have to wait has taken what was leased for this one.
            while (grant := self.try_admit(meter.key, model, tokens, ask)) is None:
                if not await self._lease(meter, tokens, ask):
                    return None
        return grant

    def _may_soon_fit(self, meter: Meter, ask: Ask) -> bool:
        """Whether nothing is missing but tokens of a budget that other requests or processes hold for now."""
        return meter.lacks_budget(ask, self._clock()) and meter.budget.is_enough_for(ask)

    def settle(
        self, grant: Grant, outcome: Outcome, usage: Usage | None, arm: str = "", checkpoint: str = ""
    ) -> None:
        """The request is over: book it, and correct what it was thought to need. `arm` is the served model
        behind an alias, `checkpoint` the id of the weights that answered; "" where there is none."""
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
            self._ledger.add(Entry(grant.key.id, grant.model, arm, checkpoint, day), outcome, usage)

    # -- leases -------------------------------------------------------------------------------------

    async def _lease(self, meter: Meter, tokens: int, ask: Ask) -> bool:
        """Fetch what the request needs; False when the key has not got it."""
        key, now = meter.key, self._clock()
        minute = int(now) // 60
        for _, _, window in meter.windows():
            window.turn_to(minute)
        if meter.lacks_budget(ask, now) and not await self._budgets.lease(meter, ask):
            return False
        if key.concurrency is not None and (meter.running >= meter.slots or now >= meter.slots_until):
            if meter.running >= key.concurrency or now < meter.slots_ask_again:
                return False
            await self._lease_slots(meter, meter.running + meter.waiting + key.concurrency // PARTS)
            if meter.running >= meter.slots:
                meter.slots_ask_again = now + ASK_AGAIN_S
                return False
        await self._settle_window(meter, leases_kept=PARTS)
        for kind, limit, window in meter.windows():
            one, all_waiting = (1, meter.waiting) if kind == "requests" else (tokens, meter.waiting_tokens)
            missing = one - window.left
            if missing <= 0:
                continue
            if missing > limit or window.is_empty_for(missing, now):
                return False
            wanted = max(missing, min(lease_size(limit, all_waiting - window.left), limit - window.used))
            granted, used = await self._limits.lease(key.id, kind, minute, limit, wanted, missing)
            if window.minute == minute:
                window.left += granted
                window.used = used
            if not granted:
                window.refused, window.ask_again = missing, now + ASK_AGAIN_S
                return False
        return True

    async def _lease_slots(self, meter: Meter, needed: int) -> None:
        limit = meter.key.concurrency or 0
        wanted = min(limit, needed)
        meter.slots = min(meter.slots, wanted)  # nobody may take meanwhile what is given back
        began = self._clock()
        meter.slots = await self._limits.slots(meter.key.id, limit, wanted)
        meter.slots_until = began + SLOTS_TTL_S

    def _refusal(self, meter: Meter, tokens: int, ask: Ask) -> ApiError:
        key, now = meter.key, self._clock()
        headers = dict(line.split(": ") for line in meter.header_lines(now).decode().splitlines())
        if meter.lacks_budget(ask, now):
            return _over_budget(meter, ask, headers)
        wait_s = 60 - now % 60
        if key.tokens_per_min is not None and tokens > key.tokens_per_min:
            return RateLimited(
                f"The request may need {tokens} tokens; the key {key.name!r} has only"
                f" {key.tokens_per_min} a minute.",
                hint="Ask for a shorter answer with max_tokens, or raise the limit with"
                f" `kodolly keys update {key.id} --tokens-per-min N`.",
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


def _over_budget(meter: Meter, ask: Ask, headers: dict[str, str]) -> RateLimited:
    """What is left, and whether it is worth to ask again."""
    key, left = meter.key, meter.budget.left
    more = f"`kodolly keys update {key.id} --budget-tokens N` raises it; or wait for next month."
    if left <= 0:
        text = f"The key {key.name!r} has used up its {key.budget_tokens} tokens of this month."
    else:
        text = (
            f"Of the {key.budget_tokens} tokens that the key {key.name!r} has this month, {left} are left;"
            f" this request may need {ask.most}."
        )
        more = f"Ask for a shorter answer with max_tokens; {more}"
    if not meter.budget.is_enough_for(ask):
        return RateLimited(
            text, code="insufficient_quota", hint=more, headers=headers | {"x-should-retry": "false"}
        )
    return RateLimited(
        f"{text} Requests that run now may need the rest.",
        hint="Try again when they have ended.",
        headers=headers | {"retry-after": "1"},
    )


def matches_admin_token(token: str, expected: SecretStr) -> bool:
    """Whether this is the admin token of the settings, if there is one; in constant time."""
    secret = expected.get_secret_value()
    return bool(secret) and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), secret.encode())
