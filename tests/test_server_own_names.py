"""Names of the house's own models win over a provider's, and are not forgotten at once."""

import asyncio
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.errors import ModelNotFound, ModelNotReady, UserError
from common.registry import Delta, Snapshot
from common.settings import load_settings
from server.settings import ExternalProvider, GatewaySettings
from server.upstreams.choice import candidates, resolve
from server.upstreams.directory import Directory
from server.upstreams.follow import SavedSnapshot, load_snapshot, snapshot_path
from server.upstreams.own_names import REMEMBERED_S, OwnNames
from server.upstreams.status import status_providers
from tests.support.listed_worker import worker
from tests.support.until import until

OPENAI = ExternalProvider(
    name="openai", base_url="https://x.example/v1", key_env="K", models=("gpt-4o-mini", "gpt-4o")
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def directory(*, configured: tuple[str, ...] = (), clock: Clock | None = None) -> Directory:
    own = OwnNames(clock or Clock())
    return Directory((OPENAI,), {"openai": SecretStr("k")}, configured=configured, own=own)


def asked(known: Directory, name: str) -> list[str]:
    return [up.id for up in candidates(known, resolve(known, name))]


def snapshot(*workers: object, version: int = 1) -> Snapshot:
    return Snapshot.model_validate({"epoch": "e", "version": version, "workers": workers})


@pytest.mark.parametrize("state", ["loading", "draining", "down"])
def test_with_a_worker_of_that_name_no_request_goes_to_the_provider(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = directory()
    assert asked(known, "gpt-4o-mini") == ["openai"]
    with caplog.at_level(logging.WARNING):
        known.apply_snapshot(snapshot(worker("w1", "gpt-4o-mini")))
        known.apply_snapshot(snapshot(worker("w1", "gpt-4o-mini"), version=2))
    assert {tuple(asked(known, "gpt-4o-mini")) for _ in range(20)} == {("w1",)}
    assert [line for line in caplog.messages if "'gpt-4o-mini'" in line and "openai/gpt-4o-mini" in line] == (
        caplog.messages
    )
    assert status_providers(known)[0].hidden == ["gpt-4o-mini"]
    known.apply_snapshot(snapshot(worker("w1", "gpt-4o-mini", state), version=3))  # type: ignore[arg-type]
    with pytest.raises(ModelNotReady):
        asked(known, "gpt-4o-mini")
    assert asked(known, "openai/gpt-4o-mini") == ["openai"]
    assert set(known.model_names()) == {"gpt-4o-mini", "gpt-4o", "openai/gpt-4o-mini"}


def test_a_name_that_was_served_is_away_for_a_while_then_unknown_and_never_the_providers() -> None:
    clock = Clock()
    known = directory(clock=clock)
    known.apply_snapshot(snapshot(worker("w1", "gpt-4o-mini"), worker("w2", "dolly")))
    assert known.apply_delta(Delta(epoch="e", version=2, removed=("w1", "w2")))
    for name in ("gpt-4o-mini", "dolly"):
        with pytest.raises(ModelNotReady, match="until a moment ago") as away:
            asked(known, name)
        assert (away.value.status, away.value.headers["retry-after"]) == (503, "5")
    clock.now += REMEMBERED_S + 1
    with pytest.raises(ModelNotFound, match="'openai/gpt-4o-mini'"):
        asked(known, "gpt-4o-mini")
    with pytest.raises(ModelNotFound):
        asked(known, "dolly")
    known.apply_delta(Delta(epoch="e", version=3, changed=(worker("w3", "dolly"),)))
    assert asked(known, "dolly") == ["w3"]


async def test_a_restarted_gateway_remembers_what_was_served(tmp_path: Path) -> None:
    settings = GatewaySettings(state_dir=tmp_path)
    before, after = directory(), directory()
    saved = SavedSnapshot(before, settings)
    before.apply_snapshot(snapshot(worker("w1", "gpt-4o-mini"), worker("w2", "gpt-4o")))
    keeping = asyncio.create_task(saved.keep())
    try:
        saved.changed.set()
        await until(lambda: workers_on_disk(settings) == {"w1", "w2"})
        before.apply_delta(Delta(epoch="e", version=2, removed=("w1",)))
        saved.changed.set()
        await until(lambda: workers_on_disk(settings) == {"w2"})
    finally:
        keeping.cancel()
    SavedSnapshot(after, settings).load()
    with pytest.raises(ModelNotReady):
        asked(after, "gpt-4o-mini")
    assert asked(after, "gpt-4o") == ["w2"]


def workers_on_disk(settings: GatewaySettings) -> set[str]:
    saved = load_snapshot(snapshot_path(settings))
    return {worker.worker_id for worker in saved.workers} if saved is not None else set()


def test_names_in_the_settings_are_the_houses_own_before_anybody_serves_them() -> None:
    known = directory(configured=("gpt-4o-mini",))
    with pytest.raises(ModelNotFound):
        asked(known, "gpt-4o-mini")
    assert asked(known, "gpt-4o") == ["openai"]


def test_an_alias_wins_over_a_providers_model_and_may_lead_to_another() -> None:
    known = directory()
    known.apply_snapshot(snapshot(worker("w1", "dolly")))
    known.set_aliases({"gpt-4o-mini": "dolly", "chat": "gpt-4o", "outside": "openai/gpt-4o-mini"})
    assert [asked(known, name) for name in ("gpt-4o-mini", "chat", "outside")] == [
        ["w1"],
        ["openai"],
        ["openai"],
    ]
    known.set_aliases({})
    with pytest.raises(ModelNotFound):
        asked(known, "gpt-4o-mini")


@pytest.mark.parametrize("aliases", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "dolly"}])
def test_aliases_that_lead_to_aliases_are_refused(aliases: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"gateway\.aliases.*which is an alias"):
        load_settings(GatewaySettings, {"aliases": aliases})


def test_a_provider_without_its_key_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Directory((OPENAI,))
    assert caplog.messages == ["provider openai is not offered: K is empty"]
