"""`kodolly keys` on a store of its own, without any gateway."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from common.errors import InvalidApiKey
from kodolly.commands.keys import command
from server.accounts.accounts import Accounts
from server.accounts.keys import Key, KeyStore
from server.store.opening import open_store


class Keys:
    def run(self, *words: str) -> Result:
        return CliRunner().invoke(command, words)

    def create(self, *flags: str) -> str:
        made = self.run("create", "웹팀", *flags)
        assert made.exit_code == 0, made.output
        return made.stderr.split()[0]

    def one(self, key_id: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(self.run("list", "--json").stdout)
        return next(key for key in found if key["id"] == key_id)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KODOLLY_STATE_DIR", str(tmp_path / "state"))
    return Keys()


def test_what_is_named_changes_and_the_rest_stays(keys: Keys) -> None:
    key_id = keys.create("--requests-per-min", "7", "--budget-tokens", "100", "--model", "dolly")
    before = keys.one(key_id)
    changed = keys.run("update", key_id, "--budget-tokens", "900", "--requests-per-min", "none")
    assert changed.exit_code == 0, changed.output
    assert keys.one(key_id) == before | {"budget_tokens": 900, "requests_per_min": None}
    assert keys.run("update", key_id, "--name", "새 이름", "--model", "나", "--model", "가").exit_code == 0
    assert (keys.one(key_id)["name"], keys.one(key_id)["models"]) == ("새 이름", ["가", "나"])
    assert keys.run("update", key_id, "--model", "all").exit_code == 0
    assert keys.one(key_id)["models"] is None


@pytest.mark.parametrize(
    "flags",
    [(), ("--concurrency", "0"), ("--tokens-per-min", "many"), ("--name", ""), ("--name", "가" * 201)],
)
def test_a_change_that_makes_no_sense_is_refused(keys: Keys, flags: tuple[str, ...]) -> None:
    key_id = keys.create()
    before = keys.one(key_id)
    assert keys.run("update", key_id, *flags).exit_code == 2
    assert keys.one(key_id) == before


def test_only_a_key_in_force_is_changed(keys: Keys) -> None:
    key_id = keys.create()
    assert keys.run("revoke", key_id).exit_code == 0
    for gone in (key_id, "key_unknown"):
        assert keys.run("update", gone, "--concurrency", "1").exit_code != 0


def test_a_key_ends_when_it_was_said_and_is_prolonged(keys: Keys) -> None:
    key_id = keys.create("--expires", "2026-01-31")
    assert keys.one(key_id)["expires"] == "2026-02-01 00:00:00+00:00"
    assert "expired" in keys.run("list").stdout
    assert keys.run("update", key_id, "--expires", "30d").exit_code == 0
    assert "expired" not in keys.run("list").stdout
    assert keys.run("update", key_id, "--expires", "none").exit_code == 0
    assert keys.one(key_id)["expires"] is None
    for nonsense in ("0d", "soon", "2026-13-01", "99999999999d", "d"):
        assert keys.run("update", key_id, "--expires", nonsense).exit_code == 2


async def test_an_expired_key_is_refused_and_says_so(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    async with open_store(f"sqlite:///{tmp_path / 'kodolly.db'}") as store:
        key = Key("key_1", "웹팀", expires=datetime.fromtimestamp(now[0] + 60, UTC))
        secret = await KeyStore(store.database).create(key)
        accounts = Accounts(store, clock=lambda: now[0])
        await accounts.follow_keys()
        assert accounts.authenticate(secret).id == "key_1"
        now[0] += 60
        with pytest.raises(InvalidApiKey, match="expired at 2027"):
            accounts.authenticate(secret)


def test_the_rights_of_an_administrator_are_given_and_taken(keys: Keys) -> None:
    key_id = keys.create("--admin")
    assert keys.one(key_id)["admin"] is True
    assert keys.run("update", key_id, "--concurrency", "3").exit_code == 0
    assert keys.one(key_id)["admin"] is True
    for flag, admin in (("--no-admin", False), ("--admin", True)):
        assert keys.run("update", key_id, flag).exit_code == 0
        assert keys.one(key_id)["admin"] is admin
