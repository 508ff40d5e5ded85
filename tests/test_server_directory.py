"""What the gateway believes of its upstreams, and whom it asks."""

import pytest
from pydantic import SecretStr

from common.errors import ModelNotFound, ModelNotReady
from common.registry import Delta, Snapshot, WorkerRecord
from server.settings import ExternalProvider
from server.upstreams.breaker import FAILURES_IN_A_ROW, FIRST_BACKOFF_S
from server.upstreams.choice import candidates, resolve
from server.upstreams.directory import Directory
from server.upstreams.status import status_models, status_providers
from server.upstreams.upstream import COOLDOWN_S
from tests.support.listed_worker import worker


def directory(*workers: WorkerRecord) -> Directory:
    result = Directory(clock=lambda: 100.0)
    result.apply_snapshot(Snapshot(epoch="e", version=1, workers=workers))
    return result


def test_the_less_loaded_of_two_workers_is_asked_first() -> None:
    known = directory(worker("w1", "dolly", waiting=5), worker("w2", "dolly", waiting=0))
    assert {candidates(known, "dolly")[0].id for _ in range(50)} == {"w2"}


def test_a_worker_in_cooldown_is_asked_last_but_still_asked_until_the_directorys_clock_is_past_it() -> None:
    now = [100.0]
    known = Directory(clock=lambda: now[0])
    workers = (worker("w1", "dolly"), worker("w2", "dolly", waiting=1))
    known.apply_snapshot(Snapshot(epoch="e", version=1, workers=workers))
    known.workers["w1"].standing.rest()
    assert [up.id for up in candidates(known, "dolly")] == ["w2", "w1"]
    now[0] += COOLDOWN_S
    assert [up.id for up in candidates(known, "dolly")] == ["w1", "w2"]


def test_the_directorys_clock_is_that_of_the_breakers() -> None:
    now = [100.0]
    known = Directory(clock=lambda: now[0])
    workers = (worker("w1", "dolly"), worker("w2", "dolly", waiting=1))
    known.apply_snapshot(Snapshot(epoch="e", version=1, workers=workers))
    standing = known.workers["w1"].standing
    for _ in range(FAILURES_IN_A_ROW):
        standing.end(standing.begin(), well=False)
    assert candidates(known, "dolly")[0].id == "w2"
    now[0] += FIRST_BACKOFF_S
    assert candidates(known, "dolly")[0].id == "w1"


def test_an_attempt_of_which_nothing_is_known_is_no_vote() -> None:
    standing = directory(worker("w1", "dolly")).workers["w1"].standing
    for _ in range(10 * FAILURES_IN_A_ROW):
        standing.end(standing.begin(), well=None)
    assert (standing.in_flight, standing.breaker.state) == (0, "closed")


def test_an_unknown_model_is_told_from_one_that_is_not_ready() -> None:
    known = directory(worker("w1", "dolly", "loading"), worker("w2", "gone", "down"))
    with pytest.raises(ModelNotFound, match=r"'dolli' does not exist\. Did you mean 'dolly'"):
        resolve(known, "dolli")
    with pytest.raises(ModelNotFound, match=r"'dolli' does not exist\. GET /v1/models"):
        resolve(known, "dolli", ["gone"])
    with pytest.raises(ModelNotFound) as lost:  # between the two: nobody knows for whom it was resolved
        candidates(known, "dolli")
    assert "dolly" not in str(lost.value)
    with pytest.raises(ModelNotReady, match=r"still loading \(62%\)"):
        candidates(known, "dolly")
    with pytest.raises(ModelNotReady, match=r"no living worker"):
        candidates(known, "gone")


def test_deltas_apply_in_order_and_a_gap_is_noticed() -> None:
    known = directory(worker("w1", "dolly"))
    assert known.apply_delta(Delta(epoch="e", version=2, changed=(worker("w2", "other"),)))
    assert known.apply_delta(Delta(epoch="e", version=3, removed=("w1",)))
    assert known.model_names() == ["other"]
    assert not known.apply_delta(Delta(epoch="e", version=5))
    assert not known.apply_delta(Delta(epoch="other", version=4))


def test_in_flight_counts_survive_a_renewal_but_not_a_new_incarnation() -> None:
    known = directory(worker("w1", "dolly"))
    known.workers["w1"].standing.in_flight = 3
    known.apply_delta(Delta(epoch="e", version=2, changed=(worker("w1", "dolly", waiting=1),)))
    assert known.workers["w1"].standing.in_flight == 3
    known.apply_delta(
        Delta(epoch="e", version=3, changed=(worker("w1", "dolly", incarnation="incarnation-2"),))
    )
    assert known.workers["w1"].standing.in_flight == 0


def test_a_provider_without_a_key_offers_no_models_but_says_how_to_add_it() -> None:
    provider = ExternalProvider(
        name="openai", base_url="http://x/v1", key_env="OPENAI_API_KEY", models=("gpt",)
    )
    without, with_key = Directory((provider,)), Directory((provider,), {"openai": SecretStr("k")})
    assert without.model_names() == []
    assert [(p.configured, p.key_env) for p in status_providers(without)] == [(False, "OPENAI_API_KEY")]
    assert with_key.model_names() == ["gpt"]
    assert status_models(with_key)[0].provider == "openai"


def test_status_shows_the_best_state_of_a_model_and_counts_its_workers() -> None:
    known = directory(worker("w1", "dolly", "down"), worker("w2", "dolly", "ready", waiting=2))
    (status,) = status_models(known)
    assert (status.state, status.workers, status.waiting, status.base) == ("ready", 1, 2, "base-model")


def test_the_last_signal_is_that_of_the_worker_not_of_its_last_change() -> None:
    """An idle worker changes nothing for hours; the controller's keep-alives say that it is there."""
    now = [4000.0]
    known = Directory(clock=lambda: now[0])
    known.apply_snapshot(Snapshot(epoch="e", version=1, workers=(worker("w1", "dolly"),)))
    for now[0] in (4000.0, 7600.0):
        known.controller_spoke()
    now[0] = 7612.0
    known.apply_delta(Delta(epoch="e", version=2, changed=(worker("w1", "dolly", "down"),)))
    known.controller_spoke()
    assert status_models(known)[0].last_seen_s == 12.0
    with pytest.raises(ModelNotReady, match=r"last signal 12 s ago"):
        candidates(known, "dolly")


def test_a_worker_that_this_gateway_has_never_seen_has_no_last_signal() -> None:
    known = Directory(clock=lambda: 4739.0)
    known.apply_snapshot(Snapshot(epoch="e", version=1, workers=(worker("w1", "dolly", "down"),)))
    known.controller_spoke()
    assert status_models(known)[0].last_seen_s is None
    with pytest.raises(ModelNotReady, match=r"none has answered yet"):
        candidates(known, "dolly")
