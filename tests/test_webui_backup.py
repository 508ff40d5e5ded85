"""The web UI's store in `kodolly backup`: what is in it, and what it takes."""

import zipfile
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from common.database_opening import open_database
from common.store_backup import back_up
from tests.support.files_in_backups import files_go_through
from webui.store.backup import WEBUI_STORE
from webui.store.tables import sessions


async def test_files_beside_questions_are_not_in_memory_all_at_once(tmp_path: Path) -> None:
    await files_go_through(f"sqlite:///{tmp_path / 'webui.db'}", tmp_path)


async def test_a_backup_holds_no_login(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'webui.db'}"
    row = {"id": "a" * 64, "user_id": "anna", "name": "Anna", "admin": True, "half": b"half of a key"}
    async with open_database(url, WEBUI_STORE.schema) as database:
        await database.run(
            lambda connection: (
                connection.execute(sa.insert(sessions).values(**row, expires=datetime.now(UTC))).rowcount
            )
        )
    await back_up({WEBUI_STORE: url}, tmp_path / "backup")
    with zipfile.ZipFile(tmp_path / "backup") as archive:
        assert b"half of a key" not in archive.read("webui.db")
    async with open_database(url, WEBUI_STORE.schema) as database:
        kept = await database.run(lambda connection: connection.scalar(sa.select(sessions.c.half)))
    assert kept == b"half of a key"
