"""Limits of a key that hold over all processes and hosts that share a store.

Requests and tokens are counted in windows of one minute. A process leases small parts of a window's allowance
from the store in one atomic statement and spends them without asking again. Nothing beyond the limit can be
leased; what stays unspent in the hands of other processes is at most one part each.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from common.database import Database
from server.store.tables import concurrency_leases, limit_windows

PARTS = 400
"""A lease is this part of the limit, but at least 1: four processes hold back 1% at most."""
SLOTS_TTL_S = 15.0
"""A process that was killed gives its slots back after this time."""
ASK_AGAIN_S = 0.25
"""An exhausted allowance is asked for this often, however many requests come."""


@dataclass(slots=True)
class Window:
    """One process's part of a key's requests or tokens of one minute."""

    minute: int = -1
    left: int = 0
    """Leased and not spent; below 0 when answers were longer than they were thought to be."""
    used: int = 0
    """Of all processes, as of the last lease."""
    refused: int = 0
    """What the store did not have, asked again only after `ask_again`."""
    ask_again: float = 0.0

    def left_of(self, limit: int) -> int:
        """What nobody has spent of the minute's `limit`, as far as this process knows."""
        left = limit - self.used + self.left
        return limit if left > limit else left if left > 0 else 0

    def turn_to(self, minute: int) -> None:
        """A new minute: what was not spent is void, what was overspent stays owed."""
        if self.minute != minute:
            self.minute, self.left, self.used, self.ask_again = minute, min(0, self.left), 0, 0.0

    def is_empty_for(self, amount: int, now: float) -> bool:
        """Whether asking the store for so much is useless yet: refused requests must not load it."""
        return now < self.ask_again and amount >= self.refused


def lease_size(limit: int, needed: int) -> int:
    """How much to ask for, to have `needed` at least."""
    return max(needed, math.ceil(limit / PARTS))


class LimitStore:
    """Leases from the database. All calls may raise StoreFailed."""

    def __init__(self, database: Database, process: str, clock: Callable[[], float] = time.time) -> None:
        """`process` is a name that no other process has."""
        self._database = database
        self._process = process
        self._clock = clock

    async def lease(
        self, key_id: str, kind: str, minute: int, limit: int, wanted: int, needed: int
    ) -> tuple[int, int]:
        """(granted, used by all): `wanted` if there is as much, else `needed`, else 0."""
        at = limit_windows.c
        row = (at.key_id == key_id) & (at.kind == kind) & (at.minute == minute)

        def take(connection: sa.Connection) -> tuple[int, int]:
            _insert_once(connection, key_id=key_id, kind=kind, minute=minute)
            for amount in dict.fromkeys((wanted, needed)):
                taken = connection.execute(
                    limit_windows.update()
                    .where(row, at.used + amount <= limit)
                    .values(used=at.used + amount)
                    .returning(at.used)
                )
                used = taken.scalar_one_or_none()
                if used is not None:
                    return amount, int(used)
            return 0, int(connection.execute(sa.select(at.used).where(row)).scalar_one())

        return await self._database.run(take)

    async def book(self, key_id: str, kind: str, minute: int, amount: int) -> int:
        """Add what was spent beyond the leases, or give back (below 0) what will not be; returns the sum."""
        at = limit_windows.c
        row = (at.key_id == key_id) & (at.kind == kind) & (at.minute == minute)

        def add(connection: sa.Connection) -> int:
            _insert_once(connection, key_id=key_id, kind=kind, minute=minute)
            added = limit_windows.update().where(row).values(used=at.used + amount).returning(at.used)
            return int(connection.execute(added).scalar_one())

        return await self._database.run(add)

    async def slots(self, key_id: str, limit: int, wanted: int) -> int:
        """Set this process's concurrency slots to `wanted`, or to what the others leave; returns how many."""
        now, at = self._clock(), concurrency_leases.c
        others = sa.select(sa.func.coalesce(sa.func.sum(at.slots), 0)).where(
            at.key_id == key_id, at.process != self._process, at.expires > now
        )

        def take(connection: sa.Connection) -> int:
            # The first write takes the row's lock, so that two processes cannot both see the same rest.
            lock: dict[str, object] = {"key_id": key_id, "kind": "slots", "minute": 0, "used": 0}
            insert_or_update(connection, limit_windows, lock, {"used": limit_windows.c.used + 1})
            granted = max(0, min(wanted, limit - int(connection.execute(others).scalar_one())))
            held: dict[str, object] = {"slots": granted, "expires": now + SLOTS_TTL_S}
            lease = {"key_id": key_id, "process": self._process} | held
            insert_or_update(connection, concurrency_leases, lease, held)
            return granted

        return await self._database.run(take)

    async def give_back_slots(self) -> None:
        """This process stops."""
        ours = concurrency_leases.delete().where(concurrency_leases.c.process == self._process)
        await self._database.run(lambda connection: connection.execute(ours).rowcount)

    async def forget_old_windows(self) -> None:
        """Minutes that are over, and slots of processes that are gone."""
        now, at = self._clock(), limit_windows.c

        def forget(connection: sa.Connection) -> None:
            over = (at.kind != "slots") & (at.minute < int(now // 60) - 1)
            connection.execute(limit_windows.delete().where(over))
            connection.execute(concurrency_leases.delete().where(concurrency_leases.c.expires <= now))

        await self._database.run(forget)


def _insert_once(connection: sa.Connection, **row: object) -> None:
    insert = _INSERT[connection.dialect.name]
    connection.execute(insert(limit_windows).values(**row, used=0).on_conflict_do_nothing())


def insert_or_update(
    connection: sa.Connection, table: sa.Table, row: dict[str, object], otherwise: dict[str, object]
) -> None:
    """Insert `row`, or set `otherwise` where its key is there already."""
    insert = _INSERT[connection.dialect.name](table).values(row)
    key = [column.name for column in table.primary_key]
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=otherwise))


_INSERT: dict[str, Callable[[sa.Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
