"""The lease registry under a clock of the test's own."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import SecretStr

from common.errors import BadRequest, Conflict, NotFound
from common.registry import Alias, DrainRequest, ModelCard, Registration, Snapshot, WorkerLoad, WorkerState
from controller.registry import FORGET_AFTER_S, Registry, StaleIncarnation
from server.upstreams.directory import Directory


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


def test_a_late_word_of_a_worker_that_has_left_does_not_bring_it_back() -> None:
    clock = Clock()
    registry = Registry(clock=clock)
    registry.renew(said())
    assert registry.remove("w", "incarnation-1")
    with pytest.raises(StaleIncarnation, match="has left"):
        registry.renew(said())
    registry.renew(said("loading", "incarnation-0"))  # its clock ran behind, and it is new all the same
    assert state_of(registry) == "loading"


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
        registry.renew(said(state))
        assert (state_of(registry), registry.lease_of("w").drain_timeout_s) == ("draining", 60)
    registry.renew(said("loading", "incarnation-2"))
    assert (state_of(registry), registry.lease_of("w").drain_timeout_s) == ("loading", None)
    with pytest.raises(StaleIncarnation):
        registry.drain("w", DrainRequest(incarnation="incarnation-1"))
    with pytest.raises(NotFound):
        registry.drain("nobody", DrainRequest())


def test_a_wish_to_drain_is_taken_back_until_the_worker_stops_by_itself() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said())
    registry.verify(said(), None)
    registry.drain("w", DrainRequest(timeout_s=60))
    with pytest.raises(StaleIncarnation):
        registry.undrain("w", "incarnation-9")
    with pytest.raises(NotFound):
        registry.undrain("nobody", "incarnation-1")
    registry.undrain("w", "incarnation-1")
    lease = registry.lease_of("w")
    assert (lease.drain_timeout_s, lease.stays) == (None, True)
    registry.renew(said("draining"))
    assert registry.lease_of("w").stays  # until it has heard of it
    registry.drain("w", DrainRequest())
    assert not registry.lease_of("w").stays


def test_a_worker_that_stops_by_itself_cannot_be_kept() -> None:
    registry = Registry(clock=Clock())
    registry.renew(said("draining"))
    with pytest.raises(Conflict, match="its own machine"):
        registry.undrain("w", "incarnation-1")


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
    registry.set_alias("채팅", Alias(target="dolly"))
    registry.set_alias("chat", Alias(target="not served yet"))
    for name, target in (
        ("a", "채팅"),
        ("dolly", "x"),
        ("not served yet", "y"),
        ("b", "b"),
        ("줄\n", "dolly"),
    ):
        with pytest.raises(BadRequest):
            registry.set_alias(name, Alias(target=target))
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


def with_load(**load: Any) -> Registration:
    return said().model_copy(update={"load": WorkerLoad(known=True, **load)})


def test_loads_are_told_together_and_only_when_they_mean_something() -> None:
    registry = Registry(clock=Clock())
    registry.renew(with_load(running=1))
    assert registry.collect_changes(loads=False) is not None
    registry.renew(with_load(running=1, tokens_per_s=17.0, kv_cache_use=0.001))
    assert registry.collect_changes() is None
    assert registry.current().workers[0].load.tokens_per_s == 17.0
    registry.renew(with_load(running=2))
    assert registry.collect_changes(loads=False) is None
    assert registry.snapshot().workers[0].load.running == 1  # as the followers have it
    delta = registry.collect_changes()
    assert delta is not None
    assert delta.changed[0].load.running == 2
    registry.renew(with_load(running=2, kv_cache_use=0.5))
    registry.renew(said("draining"))
    assert registry.collect_changes(loads=False) is not None


@given(
    older=st.integers(0, 10**13 - 1),
    newer=st.integers(0, 10**13 - 1),
    silence=st.floats(0, 30),
    renewals=st.integers(0, 5),
)
def test_whatever_the_workers_clocks_say_the_living_one_is_listed_in_the_end(
    older: int, newer: int, silence: float, renewals: int
) -> None:
    """A supervisor was killed, and its successor's clock may run before or after it."""
    clock = Clock()
    registry = Registry(clock=clock)
    registry.renew(said("ready", f"{older:013d}-aaaaaaaa"))
    successor = said("loading", f"{newer:013d}-bbbbbbbb")
    clock.now += silence
    for _ in range(renewals):
        with suppress(StaleIncarnation):
            registry.renew(successor)
        clock.now += 3.0
    clock.now += 10.0
    registry.renew(successor)
    registry.collect_changes()
    assert [w.incarnation for w in registry.snapshot().workers] == [successor.incarnation]


class Following(RuleBasedStateMachine):
    """A directory that applies every delta always knows exactly what a fresh snapshot says, also when it
    goes from one of two controllers to the other, of which each may miss any word of a worker.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.registries = [Registry(clock=self.clock), Registry(clock=self.clock)]
        self.registry = self.registries[0]
        self.directory = Directory(clock=self.clock)
        self.directory.apply_snapshot(self.registry.snapshot())

    @rule()
    def follow_the_other(self) -> None:
        self.registry = self.registries[1 - self.registries.index(self.registry)]
        self.registry.collect_changes()
        self.directory.apply_snapshot(self.registry.snapshot())

    @rule()
    def restart(self) -> None:
        """The controller that is followed loses all it knew."""
        at = self.registries.index(self.registry)
        self.registry = self.registries[at] = Registry(clock=self.clock)
        self.directory.apply_snapshot(self.registry.snapshot())

    @rule(
        worker=st.sampled_from(["a", "b"]),
        state=st.sampled_from(["loading", "ready", "draining", "down"]),
        incarnation=st.sampled_from(["incarnation-1", "incarnation-2"]),
        waiting=st.integers(0, 2),
        answers=st.booleans(),
        heard_by=st.sampled_from([(0,), (1,), (0, 1)]),
    )
    def renew(
        self,
        worker: str,
        state: WorkerState,
        incarnation: str,
        waiting: int,
        answers: bool,
        heard_by: tuple[int, ...],
    ) -> None:
        registration = said(state, incarnation, worker, waiting)
        for registry in (self.registries[at] for at in heard_by):
            with suppress(StaleIncarnation):
                registry.renew(registration)
                registry.verify(registration, None if answers else "no answer")

    @rule(worker=st.sampled_from(["a", "b"]))
    def drain(self, worker: str) -> None:
        with suppress(NotFound):
            self.registry.drain(worker, DrainRequest())

    @rule(seconds=st.sampled_from([1.0, 9.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(loads=st.booleans())
    def publish(self, loads: bool) -> None:
        delta = self.registry.collect_changes(loads=loads)
        assert delta is None or self.directory.apply_delta(delta)

    @invariant()
    def the_follower_is_in_step(self) -> None:
        fresh: Snapshot = self.registry.snapshot()
        known = {w.worker_id: (w.state, w.incarnation, w.load.waiting) for w in fresh.workers}
        followed = {
            worker_id: (up.state, up.reported.incarnation, up.reported.waiting)
            for worker_id, up in self.directory.workers.items()
        }
        assert {worker_id: followed.get(worker_id) for worker_id in known} == known
        # What only the controller before knew stays for a while, marked.
        extra = [up for up in self.directory.workers.values() if up.id not in known]
        assert all(up.unconfirmed_since is not None for up in extra)


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
