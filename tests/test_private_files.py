"""What kodolly keeps on disk is for its own user, under any umask; what was open is closed at start."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from common.errors import UserError
from common.private_files import make_private_directory, make_state_directory
from controller.aliases import AliasTable, write_names
from controller.app import create_app as create_controller
from controller.settings import ControllerSettings
from kodolly.stack import supervise
from kodolly.stack.parts import join_token
from kodolly.stack.supervise import Part, SupervisedPart
from server.app import create_app as create_gateway
from server.settings import GatewaySettings
from server.store.opening import open_store
from tests.support.asgi_server import started


@pytest.fixture(autouse=True)
def umask_0() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def assert_private(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        assert mode(path) & 0o077 == 0, path


async def run_once(log_dir: Path, text: str) -> None:
    part = Part("worker-x", [sys.executable, "-c", f"print({text!r})"], {}, may_end=True)
    await SupervisedPart(part, lambda _part, _line: None, log_dir).run()


def gateway(state: Path) -> Any:
    return create_gateway(GatewaySettings(state_dir=state, controllers=(), external=()))


async def test_everything_that_a_stack_writes_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KODOLLY_JOIN_TOKEN", raising=False)
    state = tmp_path / "new" / "state"
    async with started(gateway(state)):
        assert (state / "kodolly.db-wal").exists()
        assert_private(state)
    join_token(state)
    write_names(state / "aliases-1.json", AliasTable({"a": "b"}))
    await run_once(state / "logs", "끝")
    assert "끝" in (state / "logs" / "worker-x.log").read_text()
    assert_private(state)
    assert mode(state) == 0o700
    assert mode(tmp_path / "new") == 0o755


async def test_an_installation_that_was_open_is_closed_when_it_starts(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with open_store(f"sqlite:///{state / 'kodolly.db'}") as store:
        await store.check()
        (state / "logs").mkdir()
        for name in ("worker-x.log", "worker-x.log.1"):
            (state / "logs" / name).write_text("before\n")
        for path in (state, *state.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        async with started(gateway(state)):
            assert mode(state) == 0o700
            for name in ("kodolly.db", "kodolly.db-wal", "kodolly.db-shm", "kodolly.db.lock"):
                assert mode(state / name) == 0o600, name
        await run_once(state / "logs", "after")
        assert_private(state)
        assert (state / "logs" / "worker-x.log").read_text().startswith("before\n")


async def test_a_rotated_log_stays_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "LOG_BYTES", 10)
    for text in ("first line", "second line"):
        await run_once(tmp_path / "logs", text)
    assert (tmp_path / "logs" / "worker-x.log.1").exists()
    assert_private(tmp_path / "logs")


async def test_a_controller_closes_its_directory_and_makes_none(tmp_path: Path) -> None:
    state = tmp_path / "state"
    app = create_controller(ControllerSettings(join_token="t", state_dir=state))
    async with started(app):
        assert not state.exists()
    state.mkdir(0o755)
    (state / "aliases-21001.json").write_text("{}")
    async with started(app):
        assert mode(state) == 0o700


def test_directories_that_others_need_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As KODOLLY_STATE_DIR=/tmp, the home or working directory, or one with other things in it."""
    shared = tmp_path / "shared"
    for names in ("sticky", "home/me", "work/here", "data/of-others"):
        (shared / names).mkdir(parents=True)
    (shared / "data" / "kodolly.txt").write_text("")
    (shared / "sticky").chmod(0o1777)
    (shared / "work" / "kodolly.db").write_text("")
    monkeypatch.setenv("HOME", str(shared / "home" / "me"))
    monkeypatch.chdir(shared / "work" / "here")
    for path in ("sticky", "home", "home/me", "work", "work/here", "data"):
        before = mode(shared / path)
        make_private_directory(shared / path)
        assert mode(shared / path) == before, path


async def test_a_database_of_another_mode_stays_usable_and_backups_read_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a' / 'b' / 'c.db'}"
    for _ in range(2):
        async with open_store(url) as store:
            await store.check()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names()
    engine.dispose()
    assert mode(tmp_path / "a" / "b" / "c.db") == 0o600


def test_a_state_directory_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    for path in (tmp_path / "state", tmp_path / "state" / "deeper"):
        with pytest.raises(UserError, match="cannot be written"):
            make_state_directory(path)


async def test_a_database_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be opened"):
        async with open_store(f"sqlite:///{tmp_path / 'file' / 'kodolly.db'}"):
            pass
