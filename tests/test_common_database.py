"""One process's way to a SQLite file: its threads take turns in writing."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from common.database import Database, driver_url
from tests.support.processes import PATIENCE_S

INSERT = "INSERT INTO kept VALUES (1)"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(driver_url(f"sqlite:///{tmp_path / 'kept.db'}", "test"))
    await made.run(lambda connection: _run(connection, "CREATE TABLE kept (number INTEGER)"))
    yield made
    await made.close()


def _run(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


def _count(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM kept").scalar_one())


async def test_a_second_write_waits_without_asking_sqlite_again_and_again(database: Database) -> None:
    begun, tried, may_end = threading.Event(), threading.Event(), threading.Event()

    def first(connection: sa.Connection) -> None:
        _run(connection, INSERT)
        begun.set()
        assert may_end.wait(PATIENCE_S)

    def second(connection: sa.Connection) -> None:
        tried.set()
        _run(connection, "PRAGMA busy_timeout=0")  # SQLite itself would refuse at once
        _run(connection, INSERT)

    writing = asyncio.create_task(database.run(first))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    waiting = asyncio.create_task(database.run(second))
    assert await asyncio.to_thread(tried.wait, PATIENCE_S)
    assert await database.run(_count) == 0  # readers go on
    may_end.set()
    await asyncio.gather(writing, waiting)
    assert await database.run(_count) == 2


async def test_a_write_that_fails_gives_its_turn_back(database: Database) -> None:
    def fails(connection: sa.Connection) -> None:
        _run(connection, INSERT)
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            await database.run(fails)
    await asyncio.gather(*[database.run(lambda connection: _run(connection, INSERT)) for _ in range(30)])
    assert await database.run(_count) == 30
