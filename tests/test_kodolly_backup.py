"""`kodolly backup` and `kodolly restore`: the whole store or nothing, across versions and databases."""

import asyncio
import json
import os
import sqlite3
import stat
import threading
import uuid
import zipfile
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.backup_manifest import StoreContents
from common.errors import UserError
from common.feedback import Rating, Vote
from common.improvement import ImprovementTurn
from common.store_backup import back_up, restore
from kodolly.cli import root
from server.accounts.keys import Key, KeyStore, new_key_id
from server.accounts.ledger import Entry, Ledger, UsageReport
from server.record import Usage
from server.store.backup import GATEWAY_STORE
from server.store.feedback import FeedbackStore
from server.store.opening import open_store
from server.store.owner import Owner
from server.store.tables import budget_leases, concurrency_leases, key_changes, limit_windows
from server.store.turns import ImprovementTurns
from tests.support.files_in_backups import files_go_through
from tests.support.old_store import answer, make_old_store
from tests.support.postgres import binaries, postgres
from tests.support.processes import NO_ENGINE, PATIENCE_S, free_port, kodolly, running, wait_for

TODAY = date(2026, 11, 21)


OWNER, EVERYBODY = Owner("key_all"), Owner("admin", sees_all=True)


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


async def fill(url: str) -> str:
    """Two keys (one with limits), usage, a vote, a rating and a turn of the loop; returns a secret."""
    async with open_store(url) as store:
        keys = KeyStore(store.database)
        secret = await keys.create(Key(id="key_all", name="웹팀"))
        limited = Key(id="key_few", name="평가", models=frozenset({"돌리"}), requests_per_min=60, admin=True)
        await keys.create(limited)
        await keys.revoke("key_few")
        ledger = Ledger(store.database)
        entry = Entry("key_all", "돌리", "", "", TODAY.toordinal())
        ledger.add(entry, "ok", Usage(prompt_tokens=11, completion_tokens=7))
        await ledger.flush()
        vote = Vote(choice="right", left=answer("전"), right=answer("돌리"), blind=True)
        await FeedbackStore(store.database).put_vote(OWNER, str(uuid.UUID(int=1)), vote)
        rating = Rating(score=4, tags=["tone"], answer=answer("돌리"), blind=False)
        await FeedbackStore(store.database).put_rating(OWNER, str(uuid.UUID(int=2)), rating)
        turn = ImprovementTurn(
            model="돌리",
            turn="improve-1",
            begun=datetime(2026, 11, 20, tzinfo=UTC),
            checkpoint="c1",
            method="lora",
            why="고친 답변 30개",
            counts={"corrections": 30},
            step="train",
        )
        await ImprovementTurns(store.database).put("turn-1", turn)
    return secret


async def contents(url: str) -> dict[str, Any]:
    """All that a backup must keep, as the public doors tell it."""
    async with open_store(url) as store:
        return {
            "keys": await KeyStore(store.database).with_hashes(),  # their times have a zone
            "usage": await UsageReport(store.database).rows("model"),
            "days": await UsageReport(store.database).rows("day"),
            "votes": (await FeedbackStore(store.database).page("votes", EVERYBODY, 100)).rows,
            "ratings": (await FeedbackStore(store.database).page("ratings", EVERYBODY, 100)).rows,
            "turns": await ImprovementTurns(store.database).newest(),
        }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(URL of a filled store, a backup of it)."""
    directory = tmp_path_factory.mktemp("filled")
    url = sqlite_url(directory / "kodolly.db")

    async def make() -> None:
        await fill(url)
        await back_up({GATEWAY_STORE: url}, directory / "backup")

    asyncio.run(make())
    return url, directory / "backup"


async def test_a_backup_restores_everything_into_a_fresh_store(
    filled: tuple[str, Path], tmp_path: Path
) -> None:
    url, backup = filled
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    fresh = sqlite_url(tmp_path / "new" / "kodolly.db")
    manifest = await restore(backup, {GATEWAY_STORE: fresh})
    kept = {"api_keys": 2, "usage": 1, "usage_batches": 1, "votes": 1, "ratings": 1, "turns": 1}
    assert manifest.stores["kodolly.db"].rows == kept | {"conversations": 0}
    before, after = await contents(url), await contents(fresh)
    assert [key.id for _, key in after["keys"]] == ["key_all", "key_few"]
    assert after["usage"][0]["completion_tokens"] == 7
    assert after == before


async def test_a_store_with_rows_is_replaced_only_when_told_so(
    filled: tuple[str, Path], tmp_path: Path
) -> None:
    url, backup = filled
    other = sqlite_url(tmp_path / "kodolly.db")
    async with open_store(other) as store:
        await KeyStore(store.database).create(Key(id=new_key_id(), name="다른 팀"))
        version = await KeyStore(store.database).version()
    untouched = await contents(other)
    with pytest.raises(UserError, match="not empty.*1 api_keys.*--replace"):
        await restore(backup, {GATEWAY_STORE: other})
    assert await contents(other) == untouched
    await restore(backup, {GATEWAY_STORE: other}, replace=True)
    assert await contents(other) == await contents(url)
    async with open_store(other) as store:
        # Gateways that run read the keys again when this number is new to them.
        assert await KeyStore(store.database).version() > version


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_or_changed_backup_is_refused_and_changes_nothing(
    filled: tuple[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    whole = filled[1].read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:cut]
    else:
        # Only what is packed: a changed time stamp in a ZIP header hurts nothing.
        start = data.draw(st.integers(200, len(whole) - 600))
        broken = whole[:start] + bytes([whole[start] ^ 0x55]) + whole[start + 1 :]
    backup = tmp_path / "broken"
    backup.write_bytes(broken)
    store = tmp_path / "never" / "kodolly.db"
    with pytest.raises(UserError):
        asyncio.run(restore(backup, {GATEWAY_STORE: sqlite_url(store)}))
    assert not store.exists()


async def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "kodolly.db")
    with pytest.raises(UserError, match="cannot be read"):
        await restore(tmp_path / "missing", {GATEWAY_STORE: url})
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("note.txt", "메모")
    with pytest.raises(UserError, match="not a backup of kodolly"):
        await restore(tmp_path / "other.zip", {GATEWAY_STORE: url})


async def test_a_backup_never_overwrites_and_leaves_nothing_half_written(
    filled: tuple[str, Path], tmp_path: Path
) -> None:
    url, _ = filled
    target = tmp_path / "backup"
    target.write_text("다른 파일", encoding="utf-8")
    with pytest.raises(UserError, match="is there already"):
        await back_up({GATEWAY_STORE: url}, target)
    assert target.read_text(encoding="utf-8") == "다른 파일"
    with pytest.raises(UserError, match="There is no store"):
        await back_up({GATEWAY_STORE: sqlite_url(tmp_path / "no.db")}, tmp_path / "second")
    (tmp_path / "bad.db").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="cannot be read"):
        await back_up({GATEWAY_STORE: sqlite_url(tmp_path / "bad.db")}, tmp_path / "second")
    with pytest.raises(UserError, match="does not exist"):
        await back_up({GATEWAY_STORE: url}, tmp_path / "nowhere" / "backup")
    assert sorted(os.listdir(tmp_path)) == ["backup", "bad.db"]
    await back_up({GATEWAY_STORE: url}, target, replace=True)
    await restore(target, {GATEWAY_STORE: sqlite_url(tmp_path / "fresh.db")})


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """Each transaction adds one key change and one batch: a copy between the two would show."""
    database = tmp_path / "kodolly.db"

    async def make() -> None:
        async with open_store(sqlite_url(database)):
            pass

    asyncio.run(make())
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            number = 0
            while not stop.is_set():
                with connection:
                    number += 1
                    connection.execute("UPDATE key_changes SET version = version + 1")
                    connection.execute("INSERT INTO usage_batches VALUES (?, '2026-11-21')", (str(number),))
                if number == 5:
                    begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(PATIENCE_S)
        for number in range(3):
            asyncio.run(back_up({GATEWAY_STORE: sqlite_url(database)}, tmp_path / f"backup-{number}"))
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        with zipfile.ZipFile(tmp_path / f"backup-{number}") as archive:
            archive.extract("kodolly.db", tmp_path / str(number))
        with closing(sqlite3.connect(tmp_path / str(number) / "kodolly.db")) as copy:
            (version,) = copy.execute("SELECT version FROM key_changes").fetchone()
            (batches,) = copy.execute("SELECT count(*) FROM usage_batches").fetchone()
        assert version == batches >= 5


async def test_an_older_backup_goes_into_a_newer_schema(tmp_path: Path) -> None:
    make_old_store(tmp_path / "old.db", "0001")
    manifest = await back_up({GATEWAY_STORE: sqlite_url(tmp_path / "old.db")}, tmp_path / "backup")
    assert manifest.stores["kodolly.db"] == StoreContents("0001", {"votes": 1, "ratings": 0})
    fresh = sqlite_url(tmp_path / "new.db")
    await restore(tmp_path / "backup", {GATEWAY_STORE: fresh})
    restored = await contents(fresh)
    assert restored["votes"][0]["key_id"] == "anonymous"
    assert restored["votes"][0]["right"]["answer"] == "하늘이 맑고 바람이 선선합니다."
    assert restored["keys"] == []


async def test_a_backup_of_the_format_of_before_is_read(filled: tuple[str, Path], tmp_path: Path) -> None:
    """Until there was more than the gateway's store, its schema and rows stood beside the date."""
    with zipfile.ZipFile(filled[1]) as new, zipfile.ZipFile(tmp_path / "old", "w") as old:
        told = json.loads(new.read("backup.json"))
        store = told["stores"]["kodolly.db"]
        manifest = {"format": 1, "created": told["created"], **store}
        old.writestr("kodolly.db", new.read("kodolly.db"))
        old.writestr("backup.json", json.dumps(manifest))
    fresh = sqlite_url(tmp_path / "new.db")
    await restore(tmp_path / "old", {GATEWAY_STORE: fresh})
    assert await contents(fresh) == await contents(filled[0])


async def test_an_upgraded_kodolly_migrates_the_store_before_it_starts(tmp_path: Path) -> None:
    make_old_store(tmp_path / "kodolly.db", "0001")
    await fill(sqlite_url(tmp_path / "kodolly.db"))
    found = await contents(sqlite_url(tmp_path / "kodolly.db"))
    assert (len(found["votes"]), len(found["keys"])) == (2, 2)


async def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "kodolly.db"
    await fill(sqlite_url(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="9999 was written by a newer kodolly"):
        await contents(sqlite_url(path))
    await back_up({GATEWAY_STORE: sqlite_url(path)}, tmp_path / "backup")
    with pytest.raises(UserError, match="9999 was written by a newer kodolly"):
        await restore(tmp_path / "backup", {GATEWAY_STORE: sqlite_url(tmp_path / "fresh.db")})


async def test_every_table_is_either_kept_or_known_to_be_short_lived(tmp_path: Path) -> None:
    """A new table must not be forgotten by backups."""
    async with open_store(sqlite_url(tmp_path / "kodolly.db")) as store:
        tables = await store.database.run(lambda connection: set(sa.inspect(connection).get_table_names()))
    short_lived = {table.name for table in (limit_windows, concurrency_leases, budget_leases, key_changes)}
    assert tables == {table.name for table in GATEWAY_STORE.tables} | short_lived | {"alembic_version"}


def test_the_commands_say_what_they_did_and_what_is_wrong(
    filled: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KODOLLY_STATE_DIR", "state")
    done = CliRunner().invoke(root, ["restore", str(filled[1])])
    assert done.exit_code == 0, done.output
    assert "2 api_keys, 1 usage" in done.output
    done = CliRunner().invoke(root, ["backup", "again"])
    assert done.exit_code == 0, done.output
    assert "1 votes, 1 ratings" in done.output
    refused = CliRunner().invoke(root, ["restore", "again"])
    assert isinstance(refused.exception, UserError)


@pytest.mark.slow
@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt install postgresql")
async def test_backups_go_from_sqlite_to_postgresql_and_back(
    filled: tuple[str, Path], tmp_path: Path
) -> None:
    before = await contents(filled[0])
    with postgres(tmp_path) as url:
        await restore(filled[1], {GATEWAY_STORE: url})
        assert await contents(url) == before
        manifest = await back_up({GATEWAY_STORE: url}, tmp_path / "of-postgres")
        kept = {"api_keys": 2, "usage": 1, "usage_batches": 1, "votes": 1, "ratings": 1, "turns": 1}
        assert manifest.stores["kodolly.db"].rows == kept | {"conversations": 0}
        await restore(tmp_path / "of-postgres", {GATEWAY_STORE: url}, replace=True)
        assert await contents(url) == before
        await files_go_through(url, tmp_path)
    await restore(tmp_path / "of-postgres", {GATEWAY_STORE: sqlite_url(tmp_path / "back.db")})
    assert await contents(sqlite_url(tmp_path / "back.db")) == before
    assert manifest.stores["kodolly.db"].schema


@pytest.mark.slow
def test_a_running_gateway_follows_a_restore(tmp_path: Path) -> None:
    secret = asyncio.run(fill(sqlite_url(tmp_path / "old.db")))
    asyncio.run(back_up({GATEWAY_STORE: sqlite_url(tmp_path / "old.db")}, tmp_path / "backup"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {"KODOLLY_STATE_DIR": str(tmp_path / "state")}
    argv = kodolly("gateway", "--port", str(port), *NO_ENGINE)
    with running(argv, tmp_path / "log", f"{url}/healthz", env, tmp_path):

        def status(key: str) -> int:
            headers = {"authorization": f"Bearer {key}"}
            return httpx2.get(f"{url}/v1/usage", headers=headers, trust_env=False).status_code

        asyncio.run(
            restore(tmp_path / "backup", {GATEWAY_STORE: sqlite_url(tmp_path / "state" / "kodolly.db")})
        )
        wait_for(lambda: status("sk-kodolly-wrong") == 401, 20, what="the key to be asked for")
        assert status(secret) == 200
