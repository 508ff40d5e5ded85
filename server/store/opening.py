"""The gateway's database: feedback, keys, limits and the usage ledger. SQLite or PostgreSQL."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from common.errors import UserError
from common.private_files import close_to_others, make_private_directory, make_private_file
from common.redact import redacted_url
from server.store.database import Database, StoreFailed, driver_url, is_sqlite

MIGRATION_LOCK = 0x6B6F646F
"""Number of the advisory lock on PostgreSQL."""


class Store:
    """An open database with this version's schema."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def check(self) -> None:
        """One round trip, for health checks. Raises StoreFailed."""
        await self.database.run(lambda connection: connection.execute(sa.select(1)).scalar_one())


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """Create or upgrade the database at `url` and open it. Raises UserError when it can't be used."""
    parsed = driver_url(url)
    file = parsed.database if is_sqlite(parsed) else None
    if file and file != ":memory:" and not file.startswith("file:"):
        await asyncio.to_thread(_make_private, Path(file), redacted_url(url))
    try:
        database = Database(parsed)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The driver for {parsed.get_backend_name()} is not installed.",
            hint="pip install 'kodolly[postgres]'",
        ) from error
    try:
        async with _alone(file):
            await database.run(_migrate_alone)
    except UserError:
        await database.close()
        raise
    except (StoreFailed, OSError) as error:
        await database.close()
        cause = error.__cause__ or error
        raise UserError(
            f"The database {redacted_url(url)} cannot be opened: {getattr(cause, 'orig', None) or cause}.",
            hint="Check the state directory's permissions and the disk, or gateway.database_url.",
        ) from error
    try:
        yield Store(database)
    finally:
        await database.close()


def _make_private(file: Path, shown: str) -> None:
    """SQLite gives -wal and -shm the mode of the database itself (https://sqlite.org/wal.html)."""
    try:
        make_private_directory(file.parent)
        make_private_file(file)
        for suffix in ("-wal", "-shm"):
            close_to_others(Path(f"{file}{suffix}"))
    except OSError as error:
        raise UserError(
            f"The database {shown} cannot be opened: {error.strerror or error}.",
            hint="Check the state directory's permissions and the disk, or gateway.database_url.",
        ) from error


def _private_lock(path: Path) -> TextIO:
    make_private_file(path)
    return path.open("w")


@asynccontextmanager
async def _alone(database: str | None) -> AsyncIterator[None]:
    """Other processes that open this SQLite file wait until the block is over."""
    if not database or database == ":memory:":
        yield
        return
    lock = await asyncio.to_thread(_private_lock, Path(f"{database}.lock"))
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
