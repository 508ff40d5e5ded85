"""The gateway's database: feedback, keys, limits and the usage ledger. SQLite or PostgreSQL."""

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from common.errors import InternalError, UserError
from common.feedback import Rating, Vote

metadata = sa.MetaData()

votes = sa.Table(
    "votes",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("choice", sa.String(10), nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("left_model", sa.String(200), nullable=False, index=True),
    sa.Column("right_model", sa.String(200), nullable=False, index=True),
    sa.Column("locale", sa.String(20), nullable=False),
    sa.Column("left", sa.JSON, nullable=False),
    sa.Column("right", sa.JSON, nullable=False),
)

ratings = sa.Table(
    "ratings",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    sa.Column("model", sa.String(200), nullable=False, index=True),
    sa.Column("score", sa.Integer, nullable=False),
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    sa.Column("locale", sa.String(20), nullable=False),
    sa.Column("answer", sa.JSON, nullable=False),
)


MIGRATION_LOCK = 0x6B6F646F
"""Number of the advisory lock on PostgreSQL."""


class StoreFailed(InternalError):
    """The database did not take or give the rows: disk full, server gone."""

    default_code = "store_failed"


@asynccontextmanager
async def store_errors() -> AsyncIterator[None]:
    """Raises StoreFailed for what the database reports."""
    with _translated():
        yield


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:  # a server that is gone is an OSError of the driver
        reason = type(getattr(error, "orig", None) or error).__name__
        raise StoreFailed(
            f"The database failed: {reason}.",
            hint="Check the disk of the gateway's state directory, or the database server.",
        ) from error


class Store:
    """Reads and writes feedback. All calls may raise StoreFailed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def put_vote(self, vote_id: str, vote: Vote) -> None:
        """Store the vote under `vote_id`, replacing an earlier one."""
        await self._put(
            votes,
            vote_id,
            choice=vote.choice,
            blind=vote.blind,
            left_model=vote.left.model,
            right_model=vote.right.model,
            locale=vote.locale,
            left=vote.left.model_dump(mode="json"),
            right=vote.right.model_dump(mode="json"),
        )

    async def put_rating(self, rating_id: str, rating: Rating) -> None:
        """Store the rating under `rating_id`, replacing an earlier one."""
        await self._put(
            ratings,
            rating_id,
            model=rating.answer.model,
            score=rating.score,
            tags=rating.tags,
            blind=rating.blind,
            locale=rating.locale,
            answer=rating.answer.model_dump(mode="json"),
        )

    async def list_votes(self, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` votes, newest first."""
        return await self._newest(votes, limit)

    async def list_ratings(self, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` ratings, newest first."""
        return await self._newest(ratings, limit)

    async def check(self) -> None:
        """One round trip, for health checks."""
        with _translated():
            async with self.engine.connect() as connection:
                await connection.execute(sa.select(1))

    async def _put(self, table: sa.Table, row_id: str, **values: Any) -> None:
        with _translated():
            async with self.engine.begin() as connection:
                await connection.execute(table.delete().where(table.c.id == row_id))
                await connection.execute(
                    table.insert().values(id=row_id, created=datetime.now(UTC), **values)
                )

    async def _newest(self, table: sa.Table, limit: int) -> list[dict[str, Any]]:
        with _translated():
            async with self.engine.connect() as connection:
                newest = table.select().order_by(table.c.created.desc()).limit(limit)
                rows = (await connection.execute(newest)).mappings()
                return [dict(row) | {"created": row["created"].isoformat()} for row in rows]


def async_url(url: str) -> URL:
    """`url` with the driver that the gateway uses."""
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+asyncpg")
    return parsed


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Create or upgrade the database at `url` and open it. Raises UserError when it can't be used."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        await asyncio.to_thread(Path(parsed.database).parent.mkdir, parents=True, exist_ok=True)
    parsed = async_url(url)
    try:
        engine = create_async_engine(
            parsed,
            json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
            pool_pre_ping=parsed.get_backend_name() != "sqlite",  # a file does not hang up
        )
    except ModuleNotFoundError as error:
        raise UserError(
            f"The driver for {parsed.get_backend_name()} is not installed.",
            hint="pip install 'kodolly[postgres]'",
        ) from error
    if parsed.get_backend_name() == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _sqlite_defaults)
    try:
        file = parsed.database if parsed.get_backend_name() == "sqlite" else None
        async with _alone(file), engine.begin() as connection:
            await connection.run_sync(_migrate_alone)
    except UserError:
        await engine.dispose()
        raise
    except (DBAPIError, OSError) as error:
        await engine.dispose()
        reason = str(getattr(error, "orig", error))
        raise UserError(
            f"The database {parsed.render_as_string(hide_password=True)} cannot be opened: {reason}.",
            hint="Check the state directory's permissions and the disk, or gateway.database_url.",
        ) from error
    try:
        yield Store(engine)
    finally:
        await engine.dispose()


def _sqlite_defaults(connection: Any, _record: Any) -> None:
    """WAL lets readers go on during a write; 5 s is the longest wait for another writer."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


@asynccontextmanager
async def _alone(database: str | None) -> AsyncIterator[None]:
    """Other processes that open this SQLite file wait until the block is over."""
    if not database or database == ":memory:":
        yield
        return
    lock = await asyncio.to_thread(Path(f"{database}.lock").open, "w")
    with lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield


def _migrate_alone(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    migrate(connection)


def migrate(connection: sa.Connection) -> None:
    """Bring the schema to this version's. Raises UserError when a newer kodolly has written it."""
    # Alembic costs 0.1 s of import time that only a starting gateway needs.
    from alembic import command

    config = _alembic_config()
    known = {script.revision for script in _scripts(config).walk_revisions()}
    revision = schema_revision(connection)
    if revision is not None and revision not in known:
        raise UserError(
            f"The store's schema {revision} was written by a newer kodolly.",
            hint=f"This one knows it up to {newest_revision()}: upgrade kodolly, or restore an older backup.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def schema_revision(connection: sa.Connection) -> str | None:
    """The revision of the schema at `connection`; None before the first migration."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """The revision of this version's schema."""
    return str(_scripts(_alembic_config()).get_current_head())


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _scripts(config: Any) -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config)
