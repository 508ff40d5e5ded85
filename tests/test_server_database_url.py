"""gateway.database_url: what cannot be used is one true line without the password."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.database import StoreFailed, driver_url
from common.errors import UserError
from kodolly.doctor.parts import examine_part
from server.store.opening import open_store

SECRET = "pw-secret"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://u:{SECRET}@h:broken/d", "no database URL"),
        (f"postgresql://u:{SECRET}@h:99999/d", "port that is not from 1 to 65535"),
        (f"postgresql://u:{SECRET}@h:0/d", "port that is not from 1 to 65535"),
        (f"postgresql://u:{SECRET}@/x@h:5/d", "no database URL|cannot be opened|not installed"),
        (f"mysql://u:{SECRET}@h/d", "names mysql; the store is SQLite or PostgreSQL"),
        (f"mysql+aiomysql://u:{SECRET}@h/d", "names mysql"),
        (f"nonsense://u:{SECRET}@h/d", "names nonsense"),
        (f"u:{SECRET}@h/d", "no database URL"),
        (f"postgresql://u@h/d?sslpassword={SECRET}", "the parameter 'sslpassword', which is not known"),
        (f"postgresql://u:{SECRET}@h/d?channel_binding=require", "'channel_binding', which is not known"),
        (f"postgresql://u:{SECRET}@h/d?sslmode=yes", "the value of 'sslmode' cannot be used"),
        (f"postgresql://u:{SECRET}@h/d?sslmode=require&sslmode=disable", "the value of 'sslmode'"),
        ("", "no database URL"),
    ],
)
async def test_a_store_that_cannot_be_opened_is_told_in_one_line(
    url: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)  # nothing is to be connected to
    with pytest.raises(UserError, match=words) as caught:
        async with open_store(url):
            pass
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("driver", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_postgresql_has_one_driver(driver: str) -> None:
    url = driver_url(f"{driver}://u:p%40w@h:5432/d", "a.url")
    assert (url.drivername, url.password, url.port) == ("postgresql+asyncpg", "p@w", 5432)


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ("?sslmode=require", {"ssl": "require"}),
        ("?ssl=verify-full", {"ssl": "verify-full"}),
        (
            "?connect_timeout=7&application_name=kodolly",
            {"timeout": 7.0, "server_settings": {"application_name": "kodolly"}},
        ),
        ("?target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("", {}),
    ],
)
async def test_parameters_of_libpq_are_understood(
    parameters: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncpg = pytest.importorskip("asyncpg")
    seen: list[dict[str, Any]] = []

    async def connect(**given: Any) -> None:
        seen.append(given)
        raise OSError("no server here")

    monkeypatch.setattr(asyncpg, "connect", connect)
    with pytest.raises(UserError, match="no server here"):
        async with open_store(f"postgresql://u:p@127.0.0.1:1/d{parameters}"):
            pass
    assert {name: seen[0][name] for name in arguments} == arguments
    assert not seen[0].keys() - {"host", "port", "user", "password", "database", *arguments}


def test_sqlite_stays_sqlite() -> None:
    assert driver_url("sqlite+aiosqlite:///a.db", "a.url").drivername == "sqlite"


@given(st.text() | st.text("postgresql:/@?#[]%0159", max_size=40).map("postgresql://".__add__))
def test_any_text_is_a_url_or_a_user_error(text: str) -> None:
    try:
        url = driver_url(text, "a.url")
    except UserError:
        return
    assert url.drivername in ("sqlite", "postgresql+asyncpg")


def test_doctor_tells_a_broken_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KODOLLY_JOIN_TOKEN", "t" * 32)
    monkeypatch.setenv("KODOLLY_GATEWAY_DATABASE_URL", f"postgresql://u:{SECRET}@h:broken/d")
    found = [finding for finding in examine_part("gateway") if finding.what == "database"]
    assert [finding.level for finding in found] == ["fail"]
    assert "no database URL" in found[0].found
    assert SECRET not in repr(found)


async def test_a_database_that_was_deleted_takes_no_more_rows(tmp_path: Path) -> None:
    """SQLite goes on writing into the deleted file: what it says is stored would be gone."""
    file = tmp_path / "kodolly.db"
    async with open_store(f"sqlite:///{file}") as store:
        await store.database.run(lambda connection: None)
        file.unlink()
        with pytest.raises(StoreFailed):
            await store.database.run(lambda connection: None)
        assert not file.exists()
