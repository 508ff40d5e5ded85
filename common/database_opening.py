"""Open a part's database with this version's schema: made or migrated by one process at a time."""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from common.database import Database, StoreFailed, driver_url, is_sqlite
from common.errors import UserError
from common.private_files import close_to_others, make_private_directory, make_private_file
from common.redact import redacted_url

ASK_AGAIN_S = 0.05
"""Between two looks whether another process has finished with a file of SQLite."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one part. Parts may share a PostgreSQL database: each has its own version table."""

    migrations: Path
    """Directory with Alembic's `env.py`, which names `version_table` too, and `versions`."""
    setting: str
    """The setting that names the database, e.g. `gateway.database_url`."""
    lock: int
    """Number of the advisory lock on PostgreSQL under which it is migrated."""
    version_table: str = "alembic_version"

    def migrate(self, connection: sa.Connection) -> None:
        """Bring the tables to this version's. Raises UserError when a newer kodolly has written them."""
        # Alembic costs 0.1 s of import time that only a starting part needs.
        from alembic import command

        config = self._alembic_config()
        scripts = self._scripts(config)
        known = {script.revision for script in scripts.walk_revisions()}
        revision = self.revision(connection)
        if revision is not None and revision not in known:
            raise UserError(
                f"The store's schema {revision} was written by a newer kodolly.",
                hint=f"This one knows it up to {scripts.get_current_head()}: "
                "upgrade kodolly, or restore an older backup.",
            )
        if revision != scripts.get_current_head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def revision(self, connection: sa.Connection) -> str | None:
        """The revision of the tables at `connection`; None before the first migration."""
        from alembic.migration import MigrationContext

        options = {"version_table": self.version_table}
        return MigrationContext.configure(connection, opts=options).get_current_revision()

    def newest_revision(self) -> str:
        """The revision of this version's tables."""
        return str(self._scripts(self._alembic_config()).get_current_head())

    def _migrate_alone(self, connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self.lock)))
        self.migrate(connection)

    def _alembic_config(self) -> Any:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self.migrations))
        return config

    def _scripts(self, config: Any) -> Any:
        from alembic.script import ScriptDirectory

        return ScriptDirectory.from_config(config)


@asynccontextmanager
async def open_database(url: str, schema: Schema) -> AsyncIterator[Database]:
    """Create or upgrade the database at `url` and open it. Raises UserError when it can't be used."""
    parsed = driver_url(url, schema.setting)
    file = parsed.database if is_sqlite(parsed) else None
    if file and file != ":memory:" and not file.startswith("file:"):
        await asyncio.to_thread(_make_private, Path(file), redacted_url(url), schema.setting)
    try:
        database = Database(parsed)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The driver for {parsed.get_backend_name()} is not installed.",
            hint="pip install 'kodolly[postgres]'",
        ) from error
    try:
        async with _alone(file):
            await database.run(schema._migrate_alone)
    except UserError:
        await database.close()
        raise
    except (StoreFailed, OSError) as error:
        await database.close()
        cause = error.__cause__ or error
        raise UserError(
            f"The database {redacted_url(url)} cannot be opened: {getattr(cause, 'orig', None) or cause}.",
            hint=f"Check the state directory's permissions and the disk, or {schema.setting}.",
        ) from error
    try:
        yield database
    finally:
        await database.close()


def _make_private(file: Path, shown: str, setting: str) -> None:
    """SQLite gives -wal and -shm the mode of the database itself (https://sqlite.org/wal.html)."""
    try:
        make_private_directory(file.parent)
        make_private_file(file)
        for suffix in ("-wal", "-shm"):
            close_to_others(Path(f"{file}{suffix}"))
    except OSError as error:
        raise UserError(
            f"The database {shown} cannot be opened: {error.strerror or error}.",
            hint=f"Check the state directory's permissions and the disk, or {setting}.",
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
    # Not in a thread: whoever is cancelled while one opens the file, or waits in `flock`, leaves it behind.
    with _private_lock(Path(f"{database}.lock")) as lock:
        while not _locks(lock):
            await asyncio.sleep(ASK_AGAIN_S)
        yield


def _locks(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
