"""What one process leases of the store's limits, for keys that have some."""

from collections.abc import Callable, Sequence

from server.accounts.budgets import Ask, Budgets
from server.accounts.limits import ASK_AGAIN_S, PARTS, SLOTS_TTL_S, LimitStore, lease_size
from server.accounts.meter import Meter


class Leases:
    """Of a minute's requests and tokens, a month's budget, and slots for requests at once. Who calls for one
    meter holds its lock. All may raise StoreFailed."""

    def __init__(self, limits: LimitStore, budgets: Budgets, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._budgets = budgets
        self._clock = clock

    async def lease(self, meter: Meter, tokens: int, ask: Ask) -> bool:
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
        await self.settle_window(meter, leases_kept=PARTS)
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

    async def keep_slots(self, meters: Sequence[Meter]) -> None:
        """Prolong what is in use, and give back what is not."""
        soon = self._clock() + SLOTS_TTL_S / 2
        for meter in meters:
            peak, meter.peak = max(meter.peak, meter.running), meter.running
            ahead = (meter.key.concurrency or 0) // PARTS
            # What was leased ahead stays for a load that goes up and down a little.
            if meter.slots and (meter.slots_until < soon or meter.slots > peak + 2 * ahead):
                async with meter.lock:
                    await self._lease_slots(meter, peak + ahead)

    async def settle_windows(self, meters: Sequence[Meter]) -> None:
        """All minutes, what was leased ahead staying."""
        for meter in meters:
            async with meter.lock:
                await self.settle_window(meter, leases_kept=1)

    async def settle_window(self, meter: Meter, leases_kept: int) -> None:
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
