"""Backup and restore of the store: keys, usage ledger, votes, ratings and kept conversations.

A backup is a ZIP file of two members: `kodolly.db`, an SQLite database with the store's own schema, and
`backup.json`, the manifest. It is the same whether the store is SQLite or PostgreSQL, so that a backup of
one can be restored into the other. What a running gateway holds only for minutes (windows and slots of
limits) is left out.
"""

import asyncio
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from common.backup_file import backup_directory, copy_sqlite, open_backup, write_backup
from common.database import driver_url, is_sqlite
from common.errors import UserError
from server.store.opening import SCHEMA, SETTING, open_store
from server.store.tables import (
    api_keys,
    conversations,
    key_changes,
    ratings,
    turns,
    usage,
    usage_batches,
    votes,
)

KEPT: tuple[sa.Table, ...] = (api_keys, usage, usage_batches, votes, ratings, conversations, turns)
"""Tables that a restore replaces."""
FORMAT = 1
DATABASE, MANIFEST = "kodolly.db", "backup.json"
ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    created: str
    """UTC, ISO 8601."""
    schema: str
    """Revision of the store's schema."""
    rows: dict[str, int]
    """Rows by table."""


async def back_up(store_url: str, target: Path, *, replace: bool = False) -> Manifest:
    """Write a backup of the store at `store_url` to `target` (mode 0600), also while gateways run.

    All rows are of one moment. `target` appears when it is whole, or not at all.
    Raises UserError when the store or the target cannot be used, StoreFailed when the database fails.
    """
    with backup_directory(target, replace=replace) as work:
        copy = work / DATABASE
        url = driver_url(store_url, SETTING)
        if is_sqlite(url):
            await asyncio.to_thread(_copy_sqlite, Path(url.database or ""), copy)
        else:
            await _copy_postgresql(url, copy)
        return await asyncio.to_thread(_pack, copy, work, target)


async def restore(source: Path, store_url: str, *, replace: bool = False) -> Manifest:
    """Put a backup's rows into the store at `store_url`, in one transaction: all of them or none.

    The store is created or migrated first; an older backup is migrated too. A store that has rows is
    refused unless `replace`; then its rows give way to the backup's. Gateways follow within two seconds.
    Raises UserError when the backup or the store cannot be used, StoreFailed when the database fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        database = Path(directory) / DATABASE
        manifest = await asyncio.to_thread(_unpack, source, database)
        async with open_store(store_url) as store:
            await store.database.run(lambda live: _replace_rows(live, database, replace))
    return manifest


# -- writing ------------------------------------------------------------------------------------------


def _copy_sqlite(database: Path, copy: Path) -> None:
    if not database.is_file():
        raise UserError(
            f"There is no store at {database}.", hint="Check KODOLLY_STATE_DIR and gateway.database_url."
        )
    copy_sqlite(database, copy)


async def _copy_postgresql(url: URL, copy: Path) -> None:
    """All rows as one snapshot sees them."""
    engine = create_async_engine(url, isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as connection:
            revision = await connection.run_sync(SCHEMA.revision)
            if revision != SCHEMA.newest_revision():
                raise UserError(
                    f"The store's schema is {revision or 'empty'}, this kodolly's is "
                    f"{SCHEMA.newest_revision()}.",
                    hint="Back up with the version that runs, then upgrade.",
                )
            await connection.run_sync(_copy_rows_to, copy)
    except (DBAPIError, OSError) as error:
        raise UserError(
            f"The store cannot be read: {type(getattr(error, 'orig', None) or error).__name__}.",
            hint="Check gateway.database_url and the database server.",
        ) from error
    finally:
        await engine.dispose()


def _copy_rows_to(live: sa.Connection, copy: Path) -> None:
    with _sqlite(copy) as kept:
        SCHEMA.migrate(kept)
        for table in (*KEPT, key_changes):
            kept.execute(table.delete())
            _copy_table(table, live, kept)


def _pack(copy: Path, work: Path, target: Path) -> Manifest:
    with _sqlite(copy) as connection:
        rows = _count(connection)
        schema = SCHEMA.revision(connection) or ""
    manifest = Manifest(FORMAT, datetime.now(UTC).isoformat(timespec="seconds"), schema, rows)

    def pack(archive: zipfile.ZipFile) -> Manifest:
        archive.write(copy, DATABASE)
        archive.writestr(MANIFEST, json.dumps(asdict(manifest), ensure_ascii=False, indent=2))
        return manifest

    return write_backup(work, target, pack)


# -- reading ------------------------------------------------------------------------------------------


def _manifest(source: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        manifest = Manifest(**json.loads(archive.read(MANIFEST)))
        archive.getinfo(DATABASE)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{source} is not a backup of kodolly.", hint="`kodolly backup FILE` writes one."
        ) from error
    if manifest.format != FORMAT:
        raise UserError(f"{source} has format {manifest.format}, known is {FORMAT}.", hint="Upgrade kodolly.")
    return manifest


def _unpack(source: Path, database: Path) -> Manifest:
    """The backup's database at `database`, checked, counted and migrated to this version's schema."""
    with open_backup(source) as archive:
        manifest = _manifest(source, archive)
        with archive.open(DATABASE) as packed, database.open("wb") as file:
            while part := packed.read(1024 * 1024):  # reading to the end checks the checksum
                file.write(part)
    try:
        with _sqlite(database) as connection:
            if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
                raise UserError(f"The database in {source} is damaged.", hint="Take another backup.")
            if _count(connection) != manifest.rows or SCHEMA.revision(connection) != manifest.schema:
                raise UserError(f"{source} does not hold what it says.", hint="Take another backup.")
        with _sqlite(database) as connection:
            SCHEMA.migrate(connection)
    except SQLAlchemyError as error:
        raise UserError(
            f"The database in {source} cannot be used: {getattr(error, 'orig', error)}."
        ) from error
    return manifest


def _replace_rows(live: sa.Connection, database: Path, replace: bool) -> None:
    """Bring the backup's rows into the store that `live` is connected to."""
    taken = {name: count for name, count in _count(live).items() if count}
    if taken and not replace:
        has = ", ".join(f"{count} {name}" for name, count in sorted(taken.items()))
        raise UserError(
            f"The store is not empty ({has}).", hint="Add --replace to put the backup in their place."
        )
    with _sqlite(database) as kept:
        for table in KEPT:
            live.execute(table.delete())
            _copy_table(table, kept, live)
        version = sa.select(sa.func.max(key_changes.c.version))
        newest = max(live.execute(version).scalar() or 0, kept.execute(version).scalar() or 0)
        # A version that no gateway has seen: those that run read the keys again.
        live.execute(key_changes.update().values(version=newest + 1))


def _count(connection: sa.Connection) -> dict[str, int]:
    """Rows by table, of the kept tables that this database's schema has."""
    there = sa.inspect(connection).get_table_names()
    return {
        table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in KEPT
        if table.name in there
    }


def _copy_table(table: sa.Table, source: sa.Connection, target: sa.Connection) -> None:
    found = source.execute(table.select()).mappings()
    for rows in found.partitions(ROWS_AT_ONCE):
        target.execute(table.insert(), _in_utc(rows))


def _in_utc(rows: Sequence[sa.RowMapping]) -> list[dict[str, object]]:
    """SQLite gives times without a zone; PostgreSQL's driver would take those for local time."""
    return [
        {
            name: value.replace(tzinfo=UTC) if isinstance(value, datetime) and not value.tzinfo else value
            for name, value in row.items()
        }
        for row in rows
    ]


@contextmanager
def _sqlite(path: Path) -> Iterator[sa.Connection]:
    """A transaction on an SQLite file of our own."""
    engine = sa.create_engine(
        f"sqlite:///{path}", json_serializer=lambda value: json.dumps(value, ensure_ascii=False)
    )
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
