"""API keys: what one may do, how its secret is made, and where keys are kept."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from common.database import Database
from common.documents_service import ON_BEHALF_ID
from common.errors import Conflict, NotFound
from server.store.tables import api_keys, key_changes

PREFIX = "sk-kodolly-"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. None means no limit."""

    id: str
    """Public: shown in lists, logs and the ledger."""
    name: str
    models: frozenset[str] | None = None
    """Names it may ask for, as clients write them."""
    requests_per_min: int | None = None
    tokens_per_min: int | None = None
    concurrency: int | None = None
    budget_tokens: int | None = None
    """Prompt and answer tokens per calendar month (UTC)."""
    admin: bool = False
    created: datetime | None = None
    revoked: datetime | None = None
    expires: datetime | None = None
    """From then on (UTC) it is refused."""

    def may_use(self, model: str) -> bool:
        """Whether it may ask for a model of this name."""
        return self.models is None or model in self.models

    @property
    def version(self) -> str:
        """Another one after every change: a digest of all that can change."""
        models = None if self.models is None else sorted(self.models)
        limits = (self.requests_per_min, self.tokens_per_min, self.concurrency, self.budget_tokens)
        ends = tuple(moment.isoformat() if moment else None for moment in (self.revoked, self.expires))
        return sha256(repr((self.name, models, limits, self.admin, ends)).encode()).hexdigest()[:16]

    @property
    def limited(self) -> bool:
        """Whether anything has to be counted before a request may run."""
        return (
            self.requests_per_min is not None
            or self.tokens_per_min is not None
            or self.concurrency is not None
            or self.budget_tokens is not None
        )


ANONYMOUS = Key("anonymous", "anonymous")
"""Whoever asks while no key exists."""
ON_BEHALF = Key(ON_BEHALF_ID, ON_BEHALF_ID)
"""The documents service, when it asks a model for a request that is admitted, limited and booked already."""


MOST = 2**53
"""The largest limit: more than anybody needs, and exact in JSON and in the database."""


def new_secret() -> str:
    """A secret of 256 random bits; it is shown once and kept nowhere."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """What is stored of a secret. A fast hash is right: 256 random bits cannot be guessed, however fast."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class KeyStore:
    """Reads and writes keys. All calls may raise StoreFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: Key) -> str:
        """Store a key; returns its secret."""
        secret = new_secret()
        row = api_keys.insert().values(
            id=key.id,
            name=key.name,
            secret_hash=hash_secret(secret),
            models=None if key.models is None else sorted(key.models),
            requests_per_min=key.requests_per_min,
            tokens_per_min=key.tokens_per_min,
            concurrency=key.concurrency,
            budget_tokens=key.budget_tokens,
            admin=key.admin,
            created=datetime.now(UTC),
            expires=key.expires,
        )

        def insert(connection: sa.Connection) -> None:
            connection.execute(row)
            connection.execute(_CHANGED)

        await self._database.run(insert)
        return secret

    async def put(self, key: Key, secret_hash: str) -> None:
        """Store a key whose secret its maker knows already, or give one that is in force this name, role and
        secret; its limits stay. Raises Conflict for one that was revoked, and for another key's secret."""
        mine = api_keys.c.id == key.id
        values = {"name": key.name, "admin": key.admin, "secret_hash": secret_hash}

        def write(connection: sa.Connection) -> None:
            connection.execute(_CHANGED)  # first, as in `change`: two who put the same key come one by one
            row = connection.execute(api_keys.select().where(mine)).first()
            others = api_keys.select().where(api_keys.c.secret_hash == secret_hash, ~mine)
            if connection.execute(others).first() is not None:
                raise Conflict("Another key has this secret.", code="secret_taken")
            if row is None:
                new = {"id": key.id, "created": datetime.now(UTC), **values}
                connection.execute(api_keys.insert().values(new))
            elif row.revoked is None:
                connection.execute(api_keys.update().where(mine).values(values))
            else:
                raise Conflict(f"The key {key.id!r} was revoked.", code="key_revoked")

        await self._database.run(write)

    async def change(self, key_id: str, values: Mapping[str, object], seen: str | None = None) -> None:
        """Set columns of a key that is in force. With `seen` only while that is its version. Raises NotFound,
        Conflict when it has changed since."""
        in_force = (api_keys.c.id == key_id) & api_keys.c.revoked.is_(None)

        def update(connection: sa.Connection) -> None:
            # First, as it lets no other change in until this one has ended: neither on SQLite, which locks
            # with the first write, nor on PostgreSQL, where all changes write this row.
            connection.execute(_CHANGED)
            if seen is not None:
                row = connection.execute(api_keys.select().where(in_force)).first()
                if row is not None and _key(row).version != seen:
                    raise _changed_meanwhile()
            found = connection.execute(api_keys.update().where(in_force).values(**values))
            if found.rowcount != 1:
                raise NotFound(f"There is no key {key_id!r} in force.", param="key_id")

        await self._database.run(update)

    async def revoke(self, key_id: str) -> None:
        """Take a key out of force. Raises NotFound."""
        await self.change(key_id, {"revoked": datetime.now(UTC)})

    async def all(self) -> list[Key]:
        """Every key, also revoked ones, the oldest first."""
        return [key for _, key in await self.with_hashes()]

    async def with_hashes(self) -> list[tuple[str, Key]]:
        """(hash of the secret, key) of every key, the oldest first."""
        oldest_first = api_keys.select().order_by(api_keys.c.created)

        def read(connection: sa.Connection) -> list[tuple[str, Key]]:
            return [(row.secret_hash, _key(row)) for row in connection.execute(oldest_first)]

        return await self._database.run(read)

    async def version(self) -> int:
        """Raised by every change, so that others need not read all keys to see that nothing has changed."""
        version = sa.select(key_changes.c.version)
        return await self._database.run(lambda connection: int(connection.execute(version).scalar_one()))


def _changed_meanwhile() -> Conflict:
    return Conflict(
        "This key has changed since it was read.",
        code="key_changed",
        hint="Read it again, and change it with its new version.",
        headers={"x-should-retry": "false"},
    )


_CHANGED = key_changes.update().values(version=key_changes.c.version + 1)


def _key(row: sa.Row[Any]) -> Key:
    models: Sequence[str] | None = row.models
    return Key(
        id=row.id,
        name=row.name,
        models=None if models is None else frozenset(models),
        requests_per_min=row.requests_per_min,
        tokens_per_min=row.tokens_per_min,
        concurrency=row.concurrency,
        budget_tokens=row.budget_tokens,
        admin=row.admin,
        created=_utc(row.created),
        revoked=_utc(row.revoked),
        expires=_utc(row.expires),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """SQLite keeps no time zone; all that we store is UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def new_key_id() -> str:
    """A public id."""
    return f"key_{secrets.token_hex(8)}"
