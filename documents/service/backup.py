"""Backup and restore of all documents: files, the catalogue, stores of the command line.

A backup is a ZIP file, the same whether all lies below the state directory or in PostgreSQL, so that it moves
from one to the other. Indexes of vector stores are left out: after a restore they are made from the files.
"""

import os
import secrets
import shutil
import tempfile
import zipfile
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from common.backup_file import backup_directory, copy_sqlite, open_backup, write_backup
from common.errors import UserError
from documents.service.copying import TABLES, copy_catalogue, copy_stores
from documents.service.exchange import PREFIX, exchange, finish_exchange
from documents.service.opening import open_postgres
from documents.service.places import Places
from documents.service.sqlite_catalogue import SqliteCatalogue
from documents.service.storage import DiskStorage

if TYPE_CHECKING:
    from documents.service.postgres_storage import PostgresStorage

CATALOGUE, FILES, STORES = "catalogue.db", "files", "stores"


@dataclass(frozen=True)
class Contents:
    """How much is in a backup."""

    files: int
    stores: int
    """Those of the command line."""


def back_up_storage(
    state_dir: Path, database_url: str | None, target: Path, *, replace: bool = False
) -> Contents:
    """Write `target` from wherever documents are kept. Raises UserError and StoreFailed."""
    if database_url is None:
        return back_up(Places(state_dir / "documents" / "service"), target, replace=replace)
    with closing(open_postgres(database_url)) as storage:
        return back_up_postgres(storage, target, replace=replace)


def restore_storage(
    source: Path, state_dir: Path, database_url: str | None, *, replace: bool = False
) -> Contents:
    """Put a backup wherever documents are kept. Raises UserError and StoreFailed."""
    if database_url is None:
        return restore(source, Places(state_dir / "documents" / "service"), replace=replace)
    with closing(open_postgres(database_url)) as storage:
        return restore_postgres(source, storage, replace=replace)


def back_up(places: Places, target: Path, *, replace: bool = False) -> Contents:
    """Write `target` (mode 0600), whole or not at all; the service may run. A file that is deleted meanwhile
    is left out. Raises UserError."""
    finish_exchange(places.root.parent)
    if not places.catalogue.is_file() and not any(places.root.parent.glob("*.db")):
        raise UserError(f"There are no documents in {places.root.parent}.", hint="Check KODOLLY_STATE_DIR.")
    with backup_directory(target, replace=replace) as work:
        return write_backup(work, target, partial(_pack, places, work))


def back_up_postgres(storage: "PostgresStorage", target: Path, *, replace: bool = False) -> Contents:
    """The same of a database. Files and catalogue are of one moment. Raises UserError and StoreFailed."""
    with backup_directory(target, replace=replace) as work:
        places = Places(work / "documents" / "service")
        places.make()
        copy = DiskStorage(places)
        try:
            with storage.catalogue.transaction():
                copy_catalogue(storage, copy)
            copy_stores(storage, copy)
        finally:
            copy.close()
        return write_backup(work, target, partial(_pack, places, work))


def _pack(places: Places, work: Path, archive: zipfile.ZipFile) -> Contents:
    stores = sorted(places.root.parent.glob("*.db"))
    for path, name in [(store, f"{STORES}/{store.name}") for store in stores]:
        _add_database(path, name, work, archive)
    if not places.catalogue.is_file():
        SqliteCatalogue(places.catalogue).close()
    _add_database(places.catalogue, CATALOGUE, work, archive)
    files = 0
    for path in sorted(places.files.glob("file-*")):
        if path.suffix != ".part":
            try:
                archive.write(path, f"{FILES}/{path.name}")
                files += 1
            except FileNotFoundError:
                continue
    return Contents(files, len(stores))


def _add_database(path: Path, name: str, work: Path, archive: zipfile.ZipFile) -> None:
    copy = work / "copy.db"
    copy_sqlite(path, copy)
    archive.write(copy, name)
    copy.unlink()


def restore(source: Path, places: Places, *, replace: bool = False) -> Contents:
    """Put a backup in place; the service must not run. What was there gives way, where `replace` allows it.

    Files are indexed when the service starts. Raises UserError, and then nothing has changed.
    """
    root = places.root.parent
    finish_exchange(root)
    if not replace and root.exists() and any(root.rglob("*.db")):
        raise UserError(
            f"There are documents in {root}.", hint="Add --replace to put the backup in their place."
        )
    places.root.parent.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=root.parent) as directory:
            new = Places(Path(directory) / "documents" / "service")
            new.make()
            made = _unpack(source, new)
            _forget_indexes(new)
            exchange(root, new.root.parent)
    except OSError as error:
        raise UserError(f"The backup cannot be put into {root}: {error}.") from error
    return made


def restore_postgres(source: Path, storage: "PostgresStorage", *, replace: bool = False) -> Contents:
    """Put a backup into a database, all of it or nothing; services may run, and index the files. Raises
    UserError and StoreFailed."""
    catalogue = storage.catalogue
    taken = any(catalogue.rows(f"SELECT 1 FROM {table} LIMIT 1") for table in TABLES)  # noqa: S608
    if not replace and (taken or storage.stores()):
        raise UserError(
            "There are documents in the database.", hint="Add --replace to put the backup in their place."
        )
    with tempfile.TemporaryDirectory(prefix="kodolly-restore-") as directory:
        new = Places(Path(directory) / "documents" / "service")
        new.make()
        made = _unpack(source, new)
        _forget_indexes(new)
        copy = DiskStorage(new)
        mark = f"restored {secrets.token_hex(4)} "
        try:
            copy_stores(copy, storage, mark)
            with catalogue.transaction():
                for table in ("files", "stores", "bindings"):
                    catalogue.change(f"DELETE FROM {table}")  # noqa: S608
                copy_catalogue(copy, storage)
                catalogue.change("DELETE FROM indexes WHERE name NOT LIKE ?", (f"{mark}%",))
                catalogue.change(
                    "UPDATE indexes SET name = substr(name, ?) WHERE name LIKE ?", (len(mark) + 1, f"{mark}%")
                )
        except BaseException:
            catalogue.change("DELETE FROM indexes WHERE name LIKE ?", (f"{mark}%",))
            raise
        finally:
            copy.close()
    return made


def _unpack(source: Path, new: Places) -> Contents:
    files = stores = 0
    with open_backup(source) as archive:
        if CATALOGUE not in archive.namelist():
            raise UserError(
                f"{source} is no backup of documents.", hint="`kodolly documents backup FILE` writes one."
            )
        for name in archive.namelist():
            target = _target(new, name)
            if target is None:
                raise UserError(f"{source} holds something else than documents: {name!r}.")
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with archive.open(name) as packed, os.fdopen(descriptor, "wb") as out:
                shutil.copyfileobj(packed, out)  # reading to the end checks the checksum
            files += name.startswith(f"{FILES}/")
            stores += name.startswith(f"{STORES}/")
    return Contents(files, stores)


def _target(new: Places, name: str) -> Path | None:
    """Where a member goes; None for what a backup does not hold, such as ../x."""
    parts = PurePosixPath(name).parts
    if name == CATALOGUE:
        return new.catalogue
    if len(parts) != 2 or parts[1] in (".", ".."):
        return None
    return {FILES: new.files / parts[1], STORES: new.root.parent / parts[1]}.get(parts[0])


def _forget_indexes(new: Places) -> None:
    """What was indexed is to be indexed; rows of files that are not there go."""
    catalogue = SqliteCatalogue(new.catalogue)
    try:
        with catalogue.transaction():
            for row in catalogue.rows("SELECT id, filename FROM files"):
                if not new.file(row["id"], row["filename"]).exists():
                    catalogue.change("DELETE FROM files WHERE id = ?", (row["id"],))
            catalogue.change("DELETE FROM uploads")
            catalogue.change("UPDATE attached SET status = 'in_progress' WHERE status = 'completed'")
    finally:
        catalogue.close()
