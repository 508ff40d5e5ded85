"""The usage ledger: tokens and requests per key, model, arm, checkpoint and UTC day.

Requests are summed up in memory and booked every second in one transaction. Each booking carries an id, so
that one whose acknowledgement was lost is not booked a second time.
"""

import secrets
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache

import msgspec
import sqlalchemy as sa
from msgspec import structs
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from common.database import Database, StoreFailed
from server.accounts.prices import NO_PRICES, Cost, PricedTokens, Prices, costs_of
from server.record import BLOCKED, FLAGGED, RecordedOutcome, Usage
from server.store.tables import COUNTS, MODEL_LENGTH, usage, usage_batches

PROMPT, ANSWER, CACHED, ESTIMATED = (
    COUNTS.index(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "estimated_tokens")
)
"""Where they stand among a row's counts."""
MODERATED = {BLOCKED: COUNTS.index("withheld"), FLAGGED: COUNTS.index("flagged")}
"""Where a record's error code is counted besides."""
BATCHES_KEPT = timedelta(days=2)


class Entry(msgspec.Struct, frozen=True, order=True):
    """What one row of the ledger is about."""

    key_id: str
    model: str
    """As it was asked for."""
    arm: str
    """The served model behind it where it is an alias, else ""."""
    checkpoint: str
    """Id of the weights that answered; "" when unknown."""
    day: int
    """The date's ordinal."""


IDENTITY = ("key_id", "model", "arm", "checkpoint", "day")
Also = Callable[[sa.Connection, dict[str, int]], None]
Booked = Callable[[dict[str, int]], None]


@dataclass(slots=True)
class Batch:
    """What is booked in one transaction."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    sums: dict[Entry, list[int]] = field(default_factory=dict)

    def tokens(self) -> dict[str, int]:
        """Key id -> prompt and answer tokens in it."""
        found: dict[str, int] = {}
        for entry, sums in self.sums.items():
            if spent := sums[PROMPT] + sums[ANSWER]:
                found[entry.key_id] = found.get(entry.key_id, 0) + spent
        return found


class Ledger:
    """`add` is for the hot path; `flush` for one owner task."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = Batch()
        self._closed: Batch | None = None
        """Perhaps booked already: only the acknowledgement tells. Nothing may be added to it."""

    def add(
        self, entry: Entry, outcome: RecordedOutcome, spent: Usage | None, code: str | None = None
    ) -> None:
        """One finished request; `code` is its record's error code."""
        if len(entry.model) > MODEL_LENGTH:
            entry = structs.replace(entry, model=entry.model[:MODEL_LENGTH])
        sums = self._open.sums.get(entry)
        if sums is None:
            sums = self._open.sums[entry] = [0] * len(COUNTS)
        sums[COUNTS.index(outcome)] += 1
        if code is not None and code in MODERATED:
            sums[MODERATED[code]] += 1
        if spent is not None:
            sums[PROMPT] += spent.prompt_tokens
            sums[ANSWER] += spent.completion_tokens
            sums[CACHED] += spent.cached_tokens
            if spent.estimated:
                sums[ESTIMATED] += spent.prompt_tokens + spent.completion_tokens

    def unbooked_tokens(self, key_id: str) -> int:
        """Tokens of a key that are not in the store yet."""
        batches = (self._open, self._closed)
        return sum(batch.tokens().get(key_id, 0) for batch in batches if batch is not None)

    async def flush(self, also: Also | None = None, booked: Booked | None = None) -> None:
        """Book what has come until now. Raises StoreFailed; the next flush then tries again, same ids.

        What comes meanwhile is left for the next one: under load there is always something. `also` runs in
        the transaction of each booking, `booked` after it; both are told the tokens of each key.
        """
        if self._closed is not None:
            await self._book(self._closed, also, booked)
        self._closed, self._open = self._open, Batch()
        await self._book(self._closed, also, booked)

    async def _book(self, batch: Batch, also: Also | None, booked: Booked | None) -> None:
        spent = batch.tokens()
        rows = [
            structs.asdict(entry)
            | {"day": date.fromordinal(entry.day)}
            | dict(zip(COUNTS, sums, strict=True))
            for entry, sums in sorted(batch.sums.items())
        ]

        def book(connection: sa.Connection) -> None:
            connection.execute(usage_batches.insert().values(id=batch.id, booked=datetime.now(UTC)))
            connection.execute(_add_up(connection.dialect.name), rows)
            if also is not None:
                also(connection, spent)

        try:
            if rows:
                await self._database.run(book)
        except StoreFailed as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            # It was booked; only the word that it was has been lost.
        self._closed = None
        if booked is not None:
            booked(spent)

    async def forget_old_batches(self) -> None:
        """Ids that nobody can send again."""
        old = usage_batches.delete().where(usage_batches.c.booked < datetime.now(UTC) - BATCHES_KEPT)
        await self._database.run(lambda connection: connection.execute(old).rowcount)


@cache
def _add_up(dialect: str) -> sa.Insert:
    """Adds a row's counts to what is booked. Costs about 5 ms to make, so it is made once."""
    insert = postgresql.insert(usage) if dialect == "postgresql" else sqlite.insert(usage)
    return insert.on_conflict_do_update(
        index_elements=IDENTITY,
        set_={name: usage.c[name] + insert.excluded[name] for name in COUNTS},
    )


GROUPS = {
    "key": usage.c.key_id,
    "model": usage.c.model,
    "arm": usage.c.arm,
    "checkpoint": usage.c.checkpoint,
    "day": usage.c.day,
}


class UsageReport:
    """Reads the ledger. All calls may raise StoreFailed."""

    def __init__(self, database: Database, prices: Prices = NO_PRICES) -> None:
        self._database = database
        self.prices = prices

    async def priced_rows(
        self, by: str, since: date | None = None, until: date | None = None
    ) -> list[dict[str, object]]:
        """The sums of everybody, with `cost` and `unpriced_tokens` (see `Cost`) where there are prices."""
        rows = await self.rows(by, since, until)
        if not self.prices.of:
            return rows
        costs = costs_of(await self._tokens_by_model(by, since, until), self.prices.of)
        return [row | asdict(costs.get(str(row[by]), Cost())) for row in rows]

    async def rows(
        self, by: str, since: date | None = None, until: date | None = None, key_id: str | None = None
    ) -> list[dict[str, object]]:
        """Sums by one of GROUPS of the days `since` to `until`, both included."""
        column = GROUPS[by]
        query = sa.select(column.label(by), *[sa.func.sum(usage.c[name]).label(name) for name in COUNTS])
        query = query.where(_within(since, until))
        if key_id is not None:
            query = query.where(usage.c.key_id == key_id)
        query = query.group_by(column).order_by(column)

        def read(connection: sa.Connection) -> list[dict[str, object]]:
            rows = connection.execute(query).mappings()
            return [{name: _plain(value) for name, value in row.items()} for row in rows]

        return await self._database.run(read)

    async def _tokens_by_model(self, by: str, since: date | None, until: date | None) -> list[PricedTokens]:
        """Of the same groups the tokens of each model, which may have a price of its own."""
        group, about = GROUPS[by], (usage.c.model, usage.c.arm)
        tokens = (usage.c.prompt_tokens, usage.c.cached_tokens, usage.c.completion_tokens)
        query = sa.select(group, *about, *map(sa.func.sum, tokens)).where(_within(since, until))

        def read(connection: sa.Connection) -> list[PricedTokens]:
            rows = connection.execute(query.group_by(group, *about))
            return [
                PricedTokens(str(_plain(of)), model, arm, int(prompt), int(cached), int(completion))
                for of, model, arm, prompt, cached, completion in rows
            ]

        return await self._database.run(read)

    async def tokens_since(self, since: date, key_ids: Collection[str]) -> dict[str, int]:
        """Key id -> prompt and answer tokens since that day, itself included, for these keys."""
        spent = sa.func.sum(usage.c.prompt_tokens + usage.c.completion_tokens)
        query = sa.select(usage.c.key_id, spent).where(usage.c.key_id.in_(key_ids), usage.c.day >= since)
        query = query.group_by(usage.c.key_id)

        def read(connection: sa.Connection) -> dict[str, int]:
            return {key_id: int(tokens) for key_id, tokens in connection.execute(query)}

        return await self._database.run(read)


def _within(since: date | None, until: date | None) -> sa.ColumnElement[bool]:
    first = usage.c.day >= since if since is not None else sa.true()
    return first & (usage.c.day <= until) if until is not None else first


def _plain(value: date | str | int | Decimal) -> str | int:
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str) else int(value)
