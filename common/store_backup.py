"""Backup and restore of the parts' stores, each as it stood at one moment.

A backup is a ZIP file: for each store an SQLite database with the store's own schema, and `backup.json`, the
manifest. It is the same whether a store is SQLite or PostgreSQL, so that a backup of one can be restored into
the other. What a running part holds only for minutes (windows of limits, logins) does not come back.
"""

import asyncio
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from common.backup_file import backup_directory, copy_sqlite, open_backup, write_backup
from common.backup_manifest import BackupManifest, StoreContents, read_manifest
from common.database import Database, driver_url, is_sqlite
from common.database_opening import Schema, open_database
from common.errors import UserError

MANIFEST = "backup.json"
ROWS_AT_ONCE = 500
FILES_AT_ONCE = 4
"""Rows of a table with files in it: each may have megabytes."""


def _nothing(live: sa.Connection, kept: sa.Connection) -> None:
    """What most stores do after a restore."""


@dataclass(frozen=True, slots=True)
class KeptStore:
    """One part's store, as backups keep it."""

    file: str
    """Name of its database in a backup."""
    schema: Schema
    tables: tuple[sa.Table, ...]
    """Those that a restore replaces."""
    copied: tuple[sa.Table, ...] = ()
    """More that a backup holds, for `after_restore`."""
    after_restore: Callable[[sa.Connection, sa.Connection], None] = _nothing
    """Called with the store and the backup's database, in the transaction of the restore."""


def is_there(store: KeptStore, url: str) -> bool:
    """Whether there is a store to back up: a database server is taken to be there. Raises UserError."""
    parsed = driver_url(url, store.schema.setting)
    return not is_sqlite(parsed) or Path(parsed.database or "").is_file()


async def back_up(stores: Mapping[KeptStore, str], target: Path, *, replace: bool = False) -> BackupManifest:
    """Write a backup of stores at URLs to `target` (mode 0600), also while their parts run.

    All rows of a store are of one moment. `target` appears when it is whole, or not at all.
    Raises UserError when a store or the target cannot be used, StoreFailed when a database fails.
    """
    with backup_directory(target, replace=replace) as work:
        for store, store_url in stores.items():
            url = driver_url(store_url, store.schema.setting)
            if is_sqlite(url):
                await asyncio.to_thread(_copy_sqlite, store, Path(url.database or ""), work / store.file)
            else:
                await _copy_postgresql(store, url, work / store.file)
        return await asyncio.to_thread(_pack, tuple(stores), work, target)


async def restore(source: Path, stores: Mapping[KeptStore, str], *, replace: bool = False) -> BackupManifest:
    """Put a backup's rows into the stores at the URLs, each in one transaction: all of them or none.

    `stores` names all that there are; those that the backup has are created or migrated first, and so is an
    older backup. Stores that have rows are refused, before any is changed, unless `replace`; then their
    rows give way to the backup's. Raises UserError when the backup or a store cannot be used, StoreFailed
    when a database fails.
    """
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        manifest = await asyncio.to_thread(_unpack, source, tuple(stores), work)
        async with AsyncExitStack() as opened:
            live: dict[KeptStore, Database] = {}
            for store, url in stores.items():
                if store.file in manifest.stores:
                    live[store] = await opened.enter_async_context(open_database(url, store.schema))
            if not replace:
                for store, database in live.items():
                    await database.run(partial(_refuse_rows, store))
            for store, database in live.items():
                await database.run(partial(_replace_rows, store, work / store.file, replace))
    return manifest


# -- writing ------------------------------------------------------------------------------------------


def _copy_sqlite(store: KeptStore, database: Path, copy: Path) -> None:
    if not database.is_file():
        raise UserError(
            f"There is no store at {database}.", hint=f"Check KODOLLY_STATE_DIR and {store.schema.setting}."
        )
    copy_sqlite(database, copy)
    try:
        with _sqlite(copy) as connection:
            _delete_others(store, connection)
    except SQLAlchemyError as error:
        raise UserError(
            f"The backup cannot be written: {getattr(error, 'orig', error)}.", hint="Check the disk."
        ) from error


def _delete_others(store: KeptStore, copy: sa.Connection) -> None:
    """What a backup does not hold."""
    copy.exec_driver_sql("PRAGMA secure_delete=ON")
    there = sa.inspect(copy).get_table_names()
    for table in store.tables[0].metadata.sorted_tables:
        if table not in {*store.tables, *store.copied} and table.name in there:
            copy.execute(table.delete())


async def _copy_postgresql(store: KeptStore, url: URL, copy: Path) -> None:
    """All rows as one snapshot sees them."""
    schema = store.schema
    engine = create_async_engine(url, isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as connection:
            revision = await connection.run_sync(schema.revision)
            if revision != schema.newest_revision():
                raise UserError(
                    f"The store's schema is {revision or 'empty'}, this kodolly's is "
                    f"{schema.newest_revision()}.",
                    hint="Back up with the version that runs, then upgrade.",
                )
            await connection.run_sync(partial(_copy_rows_to, store, copy))
    except (DBAPIError, OSError) as error:
        raise UserError(
            f"The store cannot be read: {type(getattr(error, 'orig', None) or error).__name__}.",
            hint=f"Check {schema.setting} and the database server.",
        ) from error
    finally:
        await engine.dispose()


def _copy_rows_to(store: KeptStore, copy: Path, live: sa.Connection) -> None:
    with _sqlite(copy) as kept:
        store.schema.migrate(kept)
        for table in (*store.tables, *store.copied):
            kept.execute(table.delete())
            _copy_table(table, live, kept)


def _pack(stores: Sequence[KeptStore], work: Path, target: Path) -> BackupManifest:
    held: dict[str, StoreContents] = {}
    for store in stores:
        with _sqlite(work / store.file) as connection:
            revision = store.schema.revision(connection) or ""
            held[store.file] = StoreContents(revision, _count(store, connection))
    manifest = BackupManifest(datetime.now(UTC).isoformat(timespec="seconds"), held)

    def pack(archive: zipfile.ZipFile) -> BackupManifest:
        for store in stores:
            archive.write(work / store.file, store.file)
        archive.writestr(MANIFEST, json.dumps(asdict(manifest), ensure_ascii=False, indent=2))
        return manifest

    return write_backup(work, target, pack)


# -- reading ------------------------------------------------------------------------------------------


def _unpack(source: Path, stores: Sequence[KeptStore], work: Path) -> BackupManifest:
    """The backup's databases in `work`, checked, counted and migrated to this version's schemas."""
    with open_backup(source) as archive:
        manifest = read_manifest(source, archive, MANIFEST, {store.file for store in stores})
        held = [store for store in stores if store.file in manifest.stores]
        for store in held:
            with archive.open(store.file) as packed, (work / store.file).open("wb") as file:
                while part := packed.read(1024 * 1024):  # reading to the end checks the checksum
                    file.write(part)
    for store in held:
        _check_and_migrate(source, store, manifest.stores[store.file], work / store.file)
    return manifest


def _check_and_migrate(source: Path, store: KeptStore, contents: StoreContents, database: Path) -> None:
    try:
        with _sqlite(database) as connection:
            if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
                raise UserError(f"The database in {source} is damaged.", hint="Take another backup.")
            revision = store.schema.revision(connection)
            if _count(store, connection) != contents.rows or revision != contents.schema:
                raise UserError(f"{source} does not hold what it says.", hint="Take another backup.")
        with _sqlite(database) as connection:
            store.schema.migrate(connection)
    except SQLAlchemyError as error:
        raise UserError(
            f"The database in {source} cannot be used: {getattr(error, 'orig', error)}."
        ) from error


def _refuse_rows(store: KeptStore, live: sa.Connection) -> None:
    """Raises UserError for a store that has some."""
    taken = {name: count for name, count in _count(store, live).items() if count}
    if taken:
        has = ", ".join(f"{count} {name}" for name, count in sorted(taken.items()))
        raise UserError(
            f"The store is not empty ({has}).", hint="Add --replace to put the backup in their place."
        )


def _replace_rows(store: KeptStore, database: Path, replace: bool, live: sa.Connection) -> None:
    """Bring the backup's rows into the store that `live` is connected to."""
    if not replace:
        _refuse_rows(store, live)
    with _sqlite(database) as kept:
        for table in store.tables:
            live.execute(table.delete())
            _copy_table(table, kept, live)
        store.after_restore(live, kept)


def _count(store: KeptStore, connection: sa.Connection) -> dict[str, int]:
    """Rows by table, of the kept tables that this database's schema has."""
    there = sa.inspect(connection).get_table_names()
    return {
        table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        for table in store.tables
        if table.name in there
    }


def _copy_table(table: sa.Table, source: sa.Connection, target: sa.Connection) -> None:
    for rows in _batches(table, source):
        target.execute(table.insert(), _in_utc(rows))


def _batches(table: sa.Table, source: sa.Connection) -> Iterator[Sequence[sa.RowMapping]]:
    """All rows, as many at once as memory should hold."""
    if not any(isinstance(column.type, sa.LargeBinary) for column in table.columns):
        # Without `yield_per`, PostgreSQL's driver would bring all of them.
        every = table.select().execution_options(yield_per=ROWS_AT_ONCE)
        yield from source.execute(every).mappings().partitions(ROWS_AT_ONCE)
        return
    (key,) = table.primary_key.columns
    keys = source.scalars(sa.select(key)).all()  # the driver brings 50 rows at least
    for first in range(0, len(keys), FILES_AT_ONCE):
        these = table.select().where(key.in_(keys[first : first + FILES_AT_ONCE]))
        yield source.execute(these).mappings().all()


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
