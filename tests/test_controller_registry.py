"""The lease registry under a clock of the test's own."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import SecretStr

from common.errors import BadRequest, NotFound
from common.registry import DrainRequest, ModelCard, Registration, Snapshot, WorkerLoad, WorkerState
from controller.registry import FORGET_AFTER_S, Registry, StaleIncarnation
from server.directory import Directory


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def said(
    state: WorkerState = "ready", incarnation: str = "incarnation-1", worker_id: str = "w", waiting: int = 0
) -> Registration:
    return Registration(
        worker_id=worker_id,
        incarnation=incarnation,
        url="http://127.0.0.1:9001",
        models=(ModelCard(name="dolly"),),
        state=state,
        load=WorkerLoad(waiting=waiting),
    )


def state_of(registry: Registry, worker_id: str = "w") -> str | None:
    registry.collect_changes()
    return next((w.state for w in registry.snapshot().workers if w.worker_id == worker_id), None)


def test_ready_is_believed_only_after_the_call_back() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said("ready"))
    assert state_of(registry) == "loading"
    registry.verify(said(), "it does not answer")
    assert registry.snapshot().workers[0].detail == ""
    assert state_of(registry) == "loading"
    assert registry.snapshot().workers[0].detail == "it does not answer"
    registry.verify(said(), None)
    assert state_of(registry) == "ready"


def test_a_silent_worker_goes_down_then_is_forgotten_and_is_taken_back() -> None:
    clock = Clock()
    registry = Registry(clock=clock)
    registry.renew(said())
    registry.verify(said(), None)
    clock.now = 9.9
    assert state_of(registry) == "ready"
    clock.now = 10.0
    assert state_of(registry) == "down"
    registry.renew(said())
    assert state_of(registry) == "ready"
    clock.now = 20.0 + FORGET_AFTER_S
    assert state_of(registry) is None


def test_a_successor_replaces_its_predecessor_which_is_then_refused() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said("ready", "incarnation-1"))
    registry.renew(said("loading", "incarnation-2"))
    with pytest.raises(StaleIncarnation):
        registry.renew(said("ready", "incarnation-1"))
    assert not registry.remove("w", "incarnation-1")
    assert registry.remove("w", "incarnation-2")
    assert state_of(registry) is None


def test_a_predecessor_that_starts_its_engine_again_does_not_displace_its_successor() -> None:
    clock = Clock()
    registry = Registry(clock=clock)
    registry.renew(said("ready", "incarnation-2"))
    with pytest.raises(StaleIncarnation, match="later start"):
        registry.renew(said("loading", "incarnation-1"))
    clock.now = 10.0  # the successor is gone, the older one lives
    assert registry.renew(said("loading", "incarnation-1")).registration.incarnation == "incarnation-1"


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://127.0.0.1:9999"},
        {"engine_key": SecretStr("another")},
        {"models": (ModelCard(name="another"),)},
        {"incarnation": "incarnation-2"},
    ],
)
def test_a_worker_that_claims_something_new_is_called_back_again(change: dict[str, Any]) -> None:
    registry = Registry(clock=Clock())
    registry.renew(said())
    registry.verify(said(), None)
    assert state_of(registry) == "ready"
    registry.renew(said().model_copy(update=change))
    assert state_of(registry) == "loading"
    registry.verify(said(), None)  # a call-back to the old address that took long
    assert state_of(registry) == "loading"


def test_an_engine_that_was_down_is_called_back_again() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said())
    registry.verify(said(), None)
    for state, shown in (
        ("draining", "draining"),
        ("ready", "ready"),
        ("down", "down"),
        ("ready", "loading"),
    ):
        registry.renew(said(state))  # type: ignore[arg-type]
        assert state_of(registry) == shown


def test_a_wish_to_drain_is_shown_at_once_and_kept_for_this_incarnation_alone() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said())
    registry.verify(said(), None)
    assert registry.lease_of("w").drain_timeout_s is None
    registry.drain("w", DrainRequest(timeout_s=60))
    assert state_of(registry) == "draining"
    for state in ("ready", "draining", "loading"):
        registry.renew(said(state))  # type: ignore[arg-type]
        assert (state_of(registry), registry.lease_of("w").drain_timeout_s) == ("draining", 60)
    registry.renew(said("loading", "incarnation-2"))
    assert (state_of(registry), registry.lease_of("w").drain_timeout_s) == ("loading", None)
    with pytest.raises(StaleIncarnation):
        registry.drain("w", DrainRequest(incarnation="incarnation-1"))
    with pytest.raises(NotFound):
        registry.drain("nobody", DrainRequest())


def test_a_draining_worker_that_falls_silent_is_down() -> None:
    clock = Clock()
    registry = Registry(clock=clock)
    registry.renew(said())
    registry.drain("w", DrainRequest())
    clock.now = 10.0
    assert state_of(registry) == "down"


def test_an_alias_leads_straight_to_a_models_own_name() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said())
    registry.set_alias("채팅", "dolly")
    registry.set_alias("chat", "not served yet")
    for name, target in (("a", "채팅"), ("dolly", "x"), ("not served yet", "y"), ("b", "b")):
        with pytest.raises(BadRequest):
            registry.set_alias(name, target)
    first = registry.collect_changes()
    assert first is not None
    assert first.aliases == {"채팅": "dolly", "chat": "not served yet"} == registry.snapshot().aliases
    registry.renew(said(waiting=1))
    second = registry.collect_changes()
    assert second is None or second.aliases is None
    registry.remove_alias("chat")
    third = registry.collect_changes()
    assert third is not None
    assert third.aliases == {"채팅": "dolly"}
    with pytest.raises(NotFound):
        registry.remove_alias("chat")


def test_nothing_new_is_no_delta() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said())
    assert registry.collect_changes() is not None
    registry.renew(said())
    assert registry.collect_changes() is None


class Following(RuleBasedStateMachine):
    """A directory that applies every delta always knows exactly what a fresh snapshot says."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.registry = Registry(clock=self.clock)
        self.directory = Directory()
        self.directory.apply_snapshot(self.registry.snapshot())

    @rule(
        worker=st.sampled_from(["a", "b"]),
        state=st.sampled_from(["loading", "ready", "draining", "down"]),
        incarnation=st.sampled_from(["incarnation-1", "incarnation-2"]),
        waiting=st.integers(0, 2),
        answers=st.booleans(),
    )
    def renew(self, worker: str, state: WorkerState, incarnation: str, waiting: int, answers: bool) -> None:
        try:
            registration = said(state, incarnation, worker, waiting)
            self.registry.renew(registration)
        except StaleIncarnation:
            return
        self.registry.verify(registration, None if answers else "no answer")

    @rule(worker=st.sampled_from(["a", "b"]), incarnation=st.sampled_from(["incarnation-1", "incarnation-2"]))
    def leave(self, worker: str, incarnation: str) -> None:
        self.registry.remove(worker, incarnation)

    @rule(worker=st.sampled_from(["a", "b"]))
    def drain(self, worker: str) -> None:
        if worker in self.directory.workers:
            with suppress(NotFound):
                self.registry.drain(worker, DrainRequest())

    @rule(seconds=st.sampled_from([1.0, 9.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def the_follower_is_in_step(self) -> None:
        delta = self.registry.collect_changes()
        assert delta is None or self.directory.apply_delta(delta)
        fresh: Snapshot = self.registry.snapshot()
        assert {w.worker_id: (w.state, w.incarnation) for w in fresh.workers} == {
            up.id: (up.state, up.incarnation) for up in self.directory.workers.values()
        }


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
