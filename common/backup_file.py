"""Backups are ZIP files, whole or not there. A ZIP's directory stands at its end and every member has a
checksum: a file that was cut or changed is refused."""

import os
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from common.errors import UserError

BUSY_S = 60
"""How long a database may be busy with others before its copy is given up."""
T = TypeVar("T")


@contextmanager
def backup_directory(target: Path, *, replace: bool) -> Iterator[Path]:
    """A private directory beside the target, so that the last step is a rename on one file system.

    Raises UserError where `target` is there and may not be replaced, or what is written does not fit.
    """
    parent = target.absolute().parent
    if target.exists() and not replace:
        raise UserError(f"{target} is there already.", hint="Choose another name, or add --replace.")
    if not parent.is_dir():
        raise UserError(f"The directory {parent} does not exist.", hint="Make it first.")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=parent) as directory:
            yield Path(directory)
    except OSError as error:
        raise UserError(
            f"The backup cannot be written to {parent}: {error.strerror or error}.",
            hint="Check the directory's permissions and the disk.",
        ) from error


def write_backup(work: Path, target: Path, pack: Callable[[zipfile.ZipFile], T]) -> T:
    """Put what `pack` adds to an archive at `target` (mode 0600) in one step; returns what `pack` returns.

    `work` is a backup directory beside `target`. Raises OSError.
    """
    whole = work / "backup.zip"
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            packed = pack(archive)
        file.flush()
        os.fsync(file.fileno())
    whole.replace(target)
    return packed


@contextmanager
def open_backup(source: Path) -> Iterator[zipfile.ZipFile]:
    """The archive. Raises UserError when it cannot be read or is not whole, also within the block."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except OSError as error:
        raise UserError(f"The backup {source} cannot be read: {error.strerror or error}.") from error
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{source} is no whole backup: {error}.", hint="Take another one; nothing was changed."
        ) from error


def copy_sqlite(database: Path, copy: Path) -> None:
    """SQLite's online backup: a consistent copy, one file, while others write. Raises UserError."""
    try:
        # `closing`, since sqlite3's own context manager ends transactions, not connections.
        with (
            closing(sqlite3.connect(database, timeout=BUSY_S)) as live,
            closing(sqlite3.connect(copy)) as kept,
        ):
            live.backup(kept)
            kept.execute("PRAGMA journal_mode=DELETE")  # without -wal beside it
    except sqlite3.Error as error:
        raise UserError(
            f"The store {database} cannot be read: {error}.", hint="Check the file and the disk."
        ) from error
