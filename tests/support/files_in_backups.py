"""Backups of a web UI's store with many files in it."""

import tracemalloc
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from common.backup_manifest import BackupManifest
from common.database_opening import open_database
from common.store_backup import back_up, restore
from webui.store.backup import WEBUI_STORE
from webui.store.tables import files as webui_files

FILE_BYTES, FILES = 2**20, 40


def keep_files(connection: sa.Connection) -> None:
    """As many megabytes as there are files, beside chats' questions."""
    for number in range(FILES):
        named = {
            "id": str(number),
            "user_id": "anna",
            "kind": "text",
            "name": "메모.txt",
            "type": "text/plain",
        }
        content, made = bytes([number]) * FILE_BYTES, datetime.now(UTC)
        connection.execute(sa.insert(webui_files).values(**named, content=content, made=made))


async def peak_of(work: Coroutine[Any, Any, BackupManifest]) -> int:
    """Most bytes of memory that it held at once."""
    tracemalloc.start()
    try:
        manifest = await work
        assert manifest.stores["webui.db"].rows["webui_files"] == FILES
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def files_go_through(url: str, directory: Path) -> None:
    """A backup of the web UI's store at `url` and its restore there, without all files in memory at once."""
    most = FILES * FILE_BYTES // 2
    async with open_database(url, WEBUI_STORE.schema) as database:
        await database.run(keep_files)
    assert await peak_of(back_up({WEBUI_STORE: url}, directory / "files")) < most
    assert await peak_of(restore(directory / "files", {WEBUI_STORE: url}, replace=True)) < most
