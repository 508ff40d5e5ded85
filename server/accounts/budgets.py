"""Tokens of a month that a key may spend, over all processes and hosts that share a store.

Nothing of a budget is spent that was not leased before. A lease covers what a process's requests may still
need, what they have spent and the ledger has not booked yet, and a little for the requests that come next. In
one transaction under the lock of the key's row a process gets what neither the ledger nor the leases of the
others leave no room for; in the transaction of a booking its lease shrinks by what is booked. So at no moment
is a token counted twice or not at all. A process that was killed gives its lease back by `LEASE_TTL_S`.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from common.database import Database
from server.accounts.ledger import Ledger
from server.accounts.limits import ASK_AGAIN_S, insert_or_update, lease_size
from server.store.tables import api_keys, budget_leases, usage

if TYPE_CHECKING:
    from server.accounts.meter import Meter

LEASE_TTL_S = 15.0
"""A process that was killed gives its tokens back after this time."""
SCARCE_TOKENS, SCARCE_PARTS = 50_000, 20
"""With fewer tokens or parts of a budget left, nothing is leased ahead: it may be what another needs."""


class Ask(msgspec.Struct, frozen=True):
    """Tokens to set aside for one request."""

    most: int
    """What it may need."""
    least: int
    """With so many it may run all the same, if no other request of the key does: it has asked for an answer
    without a limit."""

    def is_no_less_than(self, other: "Ask") -> bool:
        """Whether there is nothing for this one either when there is nothing for the other."""
        return self.most >= other.most and self.least >= other.least


@dataclass(slots=True)
class Budget:
    """What this process holds of one key's tokens of the month."""

    held: int = 0
    """Leased: for requests that run, for what is not booked yet, and for what comes."""
    until: float = 0.0
    reserved: int = 0
    """For requests that run."""
    unbooked: int = 0
    """Spent, and not in the store yet."""
    left: int = 0
    """Of the whole month, not spent when the store was asked last, whoever has leased it."""
    asked: bool = False
    """Requests have come since it was last looked through."""
    scarce: bool = False
    """So little was left that nothing may be kept for later."""
    untouched: bool = False
    """Nothing of this month was booked then."""
    for_one: bool = False
    """All that is left is leased here, for one request that may need more."""
    unsure: bool = False
    """What the store has down for this process may differ from `held`."""
    refused: Ask | None = None
    """What the store did not have, asked again only after `ask_again`."""
    ask_again: float = 0.0

    @property
    def free(self) -> int:
        """Leased for what comes; below 0 when answers were longer than what was reserved for them."""
        return self.held - self.reserved - self.unbooked

    def part_for(self, ask: Ask, now: float) -> int | None:
        """How many tokens to set aside for a request; None if more must be leased."""
        free = self.free
        if now >= self.until:
            return None
        if ask.most <= free:
            return ask.most
        alone = self.for_one and not self.reserved
        return free if alone and free > 0 and self.may_fit(ask, free) else None

    def is_enough_for(self, ask: Ask) -> bool:
        """Whether the request could run if no other did, as far as is known."""
        return self.left > 0 and self.may_fit(ask, self.left)

    def may_fit(self, ask: Ask, tokens: int) -> bool:
        """Whether the request may run with so many tokens. A budget that is smaller than any request admits
        one, once: estimates are not exact, and it could not be used at all."""
        return ask.least <= tokens or (self.untouched and not self.unbooked)

    def take(self, ask: Ask, now: float) -> int | None:
        """Set that part aside."""
        part = self.part_for(ask, now)
        if part is not None:
            self.reserved += part
            self.asked = True
        return part

    def release(self, reserved: int) -> None:
        """A request has ended for which so much was reserved."""
        self.reserved -= reserved
        self.ask_again = 0.0

    def kept(self, part: int) -> int:
        """How much of what is free may stay here, for what comes."""
        return max(0, min(self.free, part)) if self.asked and not self.scarce else 0

    def is_settled(self, part: int, now: float) -> bool:
        """Whether the store need not be told anything: the lease lasts, and nothing must be given back."""
        if self.unsure or self.free != self.kept(part):
            return False
        return self.held == 0 or self.until - now > LEASE_TTL_S / 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What a process wants to hold of a key's budget."""

    key_id: str
    since: date
    """First day of the month."""
    reserved: int
    unbooked: int
    """This and what is reserved is held, whatever the budget says."""
    kept: int
    """Of what is free here already."""
    part: int
    """To have beyond what is asked for while plenty is left."""
    ask: Ask | None = None
    """Of a request."""
    all_waiting: int = 0
    """What this and all others that wait now may need, to have it in one go."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a process gets (see `Budget`)."""

    held: int
    left: int
    scarce: bool
    granted: bool
    """The request can run."""
    untouched: bool = False
    for_one: bool = False


class Budgets:
    """Of one process. Bookings and leases take turns here. All calls may raise StoreFailed."""

    def __init__(self, database: Database, ledger: Ledger, process: str, clock: Callable[[], float]) -> None:
        """`process` is a name that no other process has."""
        self._database = database
        self._ledger = ledger
        self._process = process
        self._clock = clock
        self._turn = asyncio.Lock()
        self._lost_word = False
        """The last booking failed, and may be in the store all the same."""

    async def book(self, meters: "dict[str, Meter]") -> None:
        """Book the ledger; leases shrink by what is booked."""
        async with self._turn:
            leased = {
                key_id: meter.budget
                for key_id, meter in meters.items()
                if meter.budget.held or meter.budget.unsure
            }
            process = self._process

            def shrink(connection: sa.Connection, spent: dict[str, int]) -> None:
                ours = [
                    {"key": key_id, "process_name": process, "spent": tokens}
                    for key_id, tokens in sorted(spent.items())
                    if key_id in leased
                ]
                if ours:
                    connection.execute(_SHRINK, ours)

            def booked(spent: dict[str, int]) -> None:
                for key_id, tokens in spent.items():
                    if (meter := meters.get(key_id)) is not None:
                        meter.budget.unbooked -= tokens
                    if (budget := leased.get(key_id)) is not None:
                        budget.held = max(0, budget.held - tokens)
                        budget.untouched = False

            try:
                await self._ledger.flush(shrink, booked)
            except BaseException:
                self._lost_word = True
                for budget in leased.values():
                    budget.unsure = True
                raise
            if self._lost_word:
                # A booking that was there already has not shrunk what was leased since.
                self._lost_word = False
                for budget in leased.values():
                    budget.unsure = True

    async def keep(self, meters: "Iterable[Meter]") -> None:
        """Renew leases, give back what is not needed, and tell what was spent beyond them."""
        for meter in meters:
            budget, limit = meter.budget, meter.key.budget_tokens
            if limit is None and not budget.held:
                continue
            part = lease_size(limit or 0, 0)
            if not budget.is_settled(part, self._clock()):
                async with self._turn:
                    await self._lease(meter)
            budget.asked = False

    async def lease(self, meter: "Meter", ask: Ask) -> bool:
        """Fetch what a request needs, and at once what all that wait may need; False if there is not so much
        now."""
        budget, now = meter.budget, self._clock()
        if now < budget.ask_again and budget.refused is not None and ask.is_no_less_than(budget.refused):
            return False
        async with self._turn:
            if budget.part_for(ask, self._clock()) is not None:
                return True  # another one's turn has brought it
            if await self._lease(meter, ask):
                return True
            budget.refused, budget.ask_again = ask, now + ASK_AGAIN_S
            return False

    async def give_back(self) -> None:
        """This process stops."""
        ours = budget_leases.delete().where(budget_leases.c.process == self._process)
        await self._database.run(lambda connection: connection.execute(ours).rowcount)

    async def forget_expired(self) -> None:
        """Leases of processes that are gone."""
        over = budget_leases.delete().where(budget_leases.c.expires <= self._clock())
        await self._database.run(lambda connection: connection.execute(over).rowcount)

    async def _lease(self, meter: "Meter", ask: Ask | None = None) -> bool:
        budget, now = meter.budget, self._clock()
        part = lease_size(meter.key.budget_tokens or 0, 0)
        kept = max(0, budget.free) if ask else budget.kept(part)
        # Nobody may take meanwhile what is given back.
        budget.held = min(budget.held, budget.reserved + budget.unbooked + kept)
        budget.unsure = True
        month = datetime.fromtimestamp(now, UTC).date().replace(day=1)
        wish = Wish(
            meter.key.id, month, budget.reserved, budget.unbooked, kept, part, ask, meter.waiting_most
        )
        share = await self._share(wish, now)
        budget.unsure = False
        budget.held, budget.until = share.held, now + LEASE_TTL_S
        budget.left, budget.scarce = share.left, share.scarce
        budget.untouched, budget.for_one = share.untouched, share.for_one
        return share.granted

    async def _share(self, wish: Wish, now: float) -> Share:
        """One transaction: see what is left, and set this process's lease."""
        # The first write takes the row's lock, so that two processes cannot both see the same rest.
        lock = (
            api_keys.update()
            .where(api_keys.c.id == wish.key_id)
            .values(budget_tokens=api_keys.c.budget_tokens)
            .returning(api_keys.c.budget_tokens)
        )
        spent = _spent(wish.key_id, wish.since, self._process, now)

        def take(connection: sa.Connection) -> Share:
            limit = connection.execute(lock).scalar_one_or_none()
            booked, others = (int(tokens) for tokens in connection.execute(spent).one())
            share = share_of(limit, booked, others, wish)
            lease: dict[str, object] = {"key_id": wish.key_id, "process": self._process}
            if share.held:
                held: dict[str, object] = {"tokens": share.held, "expires": now + LEASE_TTL_S}
                insert_or_update(connection, budget_leases, lease | held, held)
            else:
                at = budget_leases.c
                ours = (at.key_id == wish.key_id) & (at.process == self._process)
                connection.execute(budget_leases.delete().where(ours))
            return share

        return await self._database.run(take)


def _spent(key_id: str, since: date, process: str, now: float) -> "sa.Select[tuple[int, int]]":
    """What the ledger has of this month, and what other processes hold. One statement, so that a booking,
    which moves tokens from the one to the other, is seen as a whole."""
    tokens = sa.func.coalesce(sa.func.sum(usage.c.prompt_tokens + usage.c.completion_tokens), 0)
    booked = sa.select(tokens).where(usage.c.key_id == key_id, usage.c.day >= since)
    at = budget_leases.c
    held = sa.select(sa.func.coalesce(sa.func.sum(at.tokens), 0))
    held = held.where(at.key_id == key_id, at.process != process, at.expires > now)
    return sa.select(booked.scalar_subquery(), held.scalar_subquery())


_SHRINK = (
    budget_leases.update()
    .where(
        budget_leases.c.key_id == sa.bindparam("key"),
        budget_leases.c.process == sa.bindparam("process_name"),
    )
    .values(
        tokens=sa.case(
            (budget_leases.c.tokens > sa.bindparam("spent"), budget_leases.c.tokens - sa.bindparam("spent")),
            else_=0,
        )
    )
)


def share_of(limit: int | None, booked: int, others: int, wish: Wish) -> Share:
    """What a process gets of a budget of `limit` tokens (None: without end) of which so many are booked and
    so many leased by others."""
    committed = wish.reserved + wish.unbooked
    if limit is None:
        free = wish.ask.most if wish.ask else 0
        return Share(committed + free, 0, scarce=False, granted=True)
    left = max(0, limit - booked - wish.unbooked)
    room = limit - booked - others - committed
    untouched = not booked
    if wish.ask is None:
        free = max(0, min(wish.kept, room))
        return Share(committed + free, left, _is_scarce(room, wish.part), True, untouched)
    for amount in (wish.all_waiting, wish.ask.most):
        if wish.ask.most <= amount <= room:
            scarce = _is_scarce(room - amount, wish.part)
            free = amount if scarce else amount + wish.part
            return Share(committed + free, left, scarce, True, untouched)
    alone = not wish.reserved and not others and room > 0
    if alone and (wish.ask.least <= room or (untouched and not wish.unbooked)):
        return Share(committed + room, left, True, True, untouched, for_one=True)
    free = max(0, min(wish.kept, room))
    return Share(committed + free, left, True, False, untouched)


def _is_scarce(tokens: int, part: int) -> bool:
    return tokens < max(SCARCE_TOKENS, SCARCE_PARTS * part)
