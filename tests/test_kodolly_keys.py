"""`kodolly keys` on a store of its own, without any gateway."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kodolly.commands.keys import command


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
