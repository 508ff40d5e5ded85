"""The waiting line: bounded, fair by key, no wake-up lost whoever leaves when, a Retry-After that holds."""

import asyncio
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.errors import ModelNotReady, Overloaded
from server.inference.queue import ModelQueue


class SteppedLoop(asyncio.SelectorEventLoop):
    """Its time stands still until a test moves it."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclass(eq=False)
class Visit:
    """One request on its way through the line."""

    key: str
    number: int
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    state: Literal["new", "waiting", "running", "done", "refused", "cancelled"] = "new"
    waited: float = 0.0
    error: Overloaded | None = None
    deadline: float = math.inf
    ahead: int = 0
    """Waiters of the same key when it came."""
    passed_by: Counter[str] = field(default_factory=Counter)
    """Key -> requests that were admitted while this one waited."""
    task: "asyncio.Task[None] | None" = None


class Model:
    """A model with so many slots, and the line before it; callers do what the relay does."""

    def __init__(self, slots: int, limit: int) -> None:
        self.loop = SteppedLoop()
        self.queue = ModelQueue(limit, self.loop.time)
        self.slots, self.in_flight = slots, 0
        self.visits: list[Visit] = []
        self.admitted: list[Visit] = []

    def close(self) -> None:
        for visit in self.visits:
            assert visit.task is not None
            visit.task.cancel()
        self.settle()
        assert (self.queue.depth, self.in_flight) == (0, 0)
        self.loop.close()

    def has_room(self) -> bool:
        return self.in_flight < self.slots

    def arrive(self, key: str, timeout_s: float = 1000.0) -> Visit:
        visit = Visit(key, len(self.visits))
        visit.task = self.loop.create_task(self._go(visit, timeout_s))
        self.visits.append(visit)
        return visit

    async def _go(self, visit: Visit, timeout_s: float) -> None:
        try:
            if self.queue.must_wait() or not self.has_room():
                visit.ahead = sum(other.key == visit.key for other in self.waiting())
                visit.deadline = self.loop.now + timeout_s
                visit.state = "waiting"
                visit.waited = await self.queue.wait(visit.key, timeout_s, self.has_room)
            self.in_flight += 1
            assert self.in_flight <= self.slots
            visit.state = "running"
            self.admitted.append(visit)
            for other in self.waiting():
                other.passed_by[visit.key] += 1
            try:
                await visit.finish.wait()
                visit.state = "done"
            finally:
                self.in_flight -= 1
                self.queue.release()
        except Overloaded as error:
            visit.state, visit.error = "refused", error
        except asyncio.CancelledError:
            visit.state = "cancelled"

    def waiting(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.state == "waiting"]

    def running(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.state == "running"]

    def settle(self) -> None:
        """Let everything happen that can without time passing."""

        async def rounds() -> None:
            for _ in range(4 * len(self.visits) + 8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    def finish(self, visits: list[Visit]) -> None:
        for visit in visits:
            visit.finish.set()

    def pass_time(self, seconds: float) -> None:
        self.loop.now += seconds


@pytest.fixture
def make_model() -> Iterator[Callable[[int, int], Model]]:
    made: list[Model] = []

    def make(slots: int, limit: int) -> Model:
        made.append(Model(slots, limit))
        return made[-1]

    yield make
    for model in made:
        model.close()


Make = Callable[[int, int], Model]


def drain_in_order(model: Model) -> list[str]:
    """One slot is freed at a time until nobody waits; the keys in the order they came in."""
    before = len(model.admitted)
    while model.waiting():
        model.finish(model.running()[:1])
        model.settle()
    return [visit.key for visit in model.admitted[before:]]


def test_a_key_with_a_thousand_waiters_delays_a_key_with_one_by_one(make_model: Make) -> None:
    model = make_model(1, 2000)
    for _ in range(1001):
        model.arrive("greedy")
    model.settle()
    model.arrive("modest")
    model.settle()
    model.finish(model.running())
    model.settle()
    model.finish(model.running())
    model.settle()
    assert [visit.key for visit in model.admitted] == ["greedy", "greedy", "modest"]


def test_keys_take_turns_and_each_key_is_served_in_order(make_model: Make) -> None:
    model = make_model(1, 100)
    model.arrive("a")
    for key in "aaabbc":
        model.arrive(key)
    model.settle()
    assert drain_in_order(model) == list("abcaba")
    numbers = [visit.number for visit in model.admitted if visit.key == "a"]
    assert numbers == sorted(numbers)


def test_a_full_line_refuses_at_once_but_makes_room_for_a_key_with_less_in_it(make_model: Make) -> None:
    model = make_model(1, 4)
    model.arrive("greedy")
    greedy = [model.arrive("greedy") for _ in range(5)]
    model.settle()
    assert [visit.state for visit in greedy] == ["waiting"] * 4 + ["refused"]
    modest = [model.arrive("modest") for _ in range(3)]
    model.settle()
    assert [visit.state for visit in modest] == ["waiting", "waiting", "refused"]
    assert [visit.state for visit in greedy] == ["waiting"] * 2 + ["refused"] * 3
    assert model.queue.depth == 4
    others = [model.arrive(key) for key in ("third", "fourth", "fifth")]
    model.settle()
    assert [visit.state for visit in others] == ["waiting", "waiting", "refused"]  # one each: that is fair
    assert Counter(visit.key for visit in model.waiting()) == Counter(["greedy", "modest", "third", "fourth"])


def test_a_line_of_no_length_refuses_everybody(make_model: Make) -> None:
    model = make_model(0, 0)
    visit = model.arrive("a")
    model.settle()
    assert visit.error is not None
    assert (visit.error.status, visit.error.code) == (503, "overloaded")


def test_who_waits_too_long_is_told_when_to_come_again(make_model: Make) -> None:
    model = make_model(0, 10)
    visits = [model.arrive("a", timeout_s=5.0), model.arrive("a", timeout_s=50.0)]
    model.settle()
    model.pass_time(5.0)
    model.settle()
    assert [visit.state for visit in visits] == ["refused", "waiting"]
    assert visits[0].error is not None
    assert "within 5 s" in visits[0].error.message
    assert 1 <= int(visits[0].error.headers["retry-after"]) <= 60


def test_it_says_how_long_one_waited(make_model: Make) -> None:
    model = make_model(1, 10)
    model.arrive("a")
    visit = model.arrive("a")
    model.settle()
    model.pass_time(2.5)
    model.finish(model.running())
    model.settle()
    assert (visit.state, visit.waited) == ("running", 2.5)


def feed(model: Model, depth: int, every_s: float, seconds: float) -> None:
    """Keep `depth` waiting while one request ends every `every_s`."""
    for _ in range(round(seconds / every_s)):
        while len(model.waiting()) < depth:
            model.arrive("a")
            model.settle()
        model.pass_time(every_s)
        model.finish(model.running()[:1])
        model.settle()
        model.visits = [visit for visit in model.visits if visit.state in ("waiting", "running")]


def refusal(model: Model) -> Overloaded:
    """What one gets who comes to a full line."""
    while True:
        visit = model.arrive("a")
        model.settle()
        if visit.error is not None:
            return visit.error


@pytest.mark.parametrize("every_s", [0.1, 0.5, 2.0])
def test_retry_after_follows_from_the_measured_drain_rate(make_model: Make, every_s: float) -> None:
    model = make_model(1, 20)
    feed(model, 10, every_s, 60.0)
    assert model.queue.drain_rate == pytest.approx(1 / every_s, rel=0.15)
    expected = min(max(21 / model.queue.drain_rate, 1.0), 60.0)
    headers = refusal(model).headers
    assert headers == {
        "retry-after": str(math.ceil(expected)),
        "retry-after-ms": str(math.ceil(1000 * expected)),
    }


def test_a_stalled_line_says_a_minute_and_time_without_a_line_changes_nothing(make_model: Make) -> None:
    model = make_model(1, 3)
    feed(model, 2, 0.5, 60.0)
    drain_in_order(model)
    rate = model.queue.drain_rate
    model.pass_time(3600.0)
    assert model.queue.drain_rate == rate == pytest.approx(2.0, rel=0.5)
    model.arrive("a", timeout_s=1e9)
    model.settle()
    model.pass_time(600.0)
    assert model.queue.drain_rate < 0.01
    assert refusal(model).headers == {"retry-after": "60", "retry-after-ms": "60000"}
    model.pass_time(1e7)
    assert refusal(model).headers["retry-after"] == "60"


def test_a_woken_waiter_whose_client_leaves_hands_its_turn_on(make_model: Make) -> None:
    model = make_model(1, 10)
    model.arrive("a")
    first, second = model.arrive("a"), model.arrive("b")
    model.settle()
    model.in_flight -= 1  # a slot is freed ...
    model.queue.release()  # ... which wakes the first,
    assert first.task is not None
    first.task.cancel()  # who is cancelled before it runs
    model.settle()
    assert (first.state, second.state) == ("cancelled", "running")
    model.in_flight += 1


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_newcomer_does_not_overtake_a_woken_waiter(make_model: Make, key: str) -> None:
    model = make_model(1, 10)
    model.arrive("a")
    waiter = model.arrive("a")
    model.settle()
    newcomer = model.arrive(key)  # runs before the waiter that the next line wakes
    model.in_flight -= 1
    model.queue.release()
    model.settle()
    assert (waiter.state, newcomer.state) == ("running", "waiting")
    model.in_flight += 1


def test_a_newcomer_that_must_wait_does_not_look_for_room_itself(make_model: Make) -> None:
    model = make_model(0, 10)
    model.arrive("a")
    model.settle()
    model.slots = 1  # and nobody has said so yet
    model.arrive("b")
    model.settle()
    assert not model.admitted
    model.queue.release()
    model.settle()
    assert [visit.key for visit in model.admitted] == ["a"]


def test_a_woken_waiter_whose_time_is_over_hands_its_turn_on(make_model: Make) -> None:
    model = make_model(1, 10)
    model.arrive("a")
    first, second = model.arrive("a", timeout_s=1.0), model.arrive("b")
    model.settle()
    model.pass_time(1.0)
    model.finish(model.running())
    model.settle()
    assert sorted([first.state, second.state]) in (["refused", "running"], ["running", "waiting"])
    model.finish(model.running())
    model.settle()
    assert second.state in ("running", "done")


async def test_an_error_of_has_room_reaches_its_caller_and_the_line_goes_on() -> None:
    queue = ModelQueue(10)
    room, gone = False, False

    def has_room() -> bool:
        if gone:
            raise ModelNotReady("All workers of the model are gone.")
        return room

    first = asyncio.create_task(queue.wait("a", 60.0, has_room))
    await asyncio.sleep(0)
    second = asyncio.create_task(queue.wait("a", 60.0, lambda: room))
    await asyncio.sleep(0)
    gone = room = True
    queue.release()
    with pytest.raises(ModelNotReady):
        await first
    assert await second >= 0.0
    assert queue.depth == 0


async def test_who_comes_to_an_empty_line_with_room_goes_straight_in_and_is_no_sign_of_speed() -> None:
    queue = ModelQueue(10, lambda: 0.0)
    rate = queue.drain_rate
    for _ in range(100):
        await queue.wait("a", 60.0, lambda: True)
    assert queue.drain_rate == rate
    assert not queue.must_wait()


async def test_keys_leave_nothing_behind() -> None:
    queue = ModelQueue(50)

    async def visits(first: int, count: int) -> None:
        for number in range(first, first + count, 20):
            tasks = [asyncio.create_task(queue.wait(f"key-{number + at}", 60.0, bool)) for at in range(20)]
            await asyncio.sleep(0)
            assert queue.depth == 20
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert queue.depth == 0

    tracemalloc.start()
    try:
        await visits(0, 400)
        before, _ = tracemalloc.get_traced_memory()
        await visits(400, 8000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"8,000 keys through the line: {after - before:+d} bytes kept")
    assert after - before < 16 * 1024


# -- any order of events -------------------------------------------------------------------------

LIMIT = 6


class AnyOrder(RuleBasedStateMachine):
    """Requests come, end, are cancelled and time out, workers come and go, several in the same instant."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(2, LIMIT)
        self.settled = True

    @initialize(slots=st.integers(0, 3))
    def begin(self, slots: int) -> None:
        self.model.slots = slots

    @rule(
        keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=4), timeout_s=st.sampled_from([1, 5, 30])
    )
    def arrive(self, keys: list[str], timeout_s: float) -> None:
        for key in keys:
            self.model.arrive(key, timeout_s)
        self.settled = False

    @precondition(lambda self: self.model.running())
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        running = self.model.running()
        chosen = data.draw(st.sets(st.integers(0, len(running) - 1), min_size=1))
        self.model.finish([running[at] for at in chosen])
        self.settled = False

    @precondition(lambda self: self.model.waiting() or self.model.running())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        there = self.model.waiting() + self.model.running()
        for at in data.draw(st.sets(st.integers(0, len(there) - 1), min_size=1)):
            task = there[at].task
            assert task is not None
            task.cancel()
        self.settled = False

    @rule(slots=st.integers(0, 4))
    def workers_come_or_go(self, slots: int) -> None:
        self.model.slots = slots
        self.model.queue.release()
        self.settled = False

    @rule()
    def wake_for_nothing(self) -> None:
        self.model.queue.release()

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.pass_time(seconds)
        self.settled = False

    @rule()
    def one_round(self) -> None:
        self.model.loop.run_until_complete(asyncio.sleep(0))
        self.settled = False

    @rule()
    def settle(self) -> None:
        self.model.settle()
        self.settled = True

    @invariant()
    def the_line_is_bounded_and_fair(self) -> None:
        assert self.model.queue.depth <= LIMIT
        for visit in self.model.visits:
            if visit.state in ("waiting", "running", "done"):
                others = [count for key, count in visit.passed_by.items() if key != visit.key]
                assert max(others, default=0) <= visit.ahead + 1
        for key in "abc":
            order = [v.number for v in self.model.admitted if v.key == key]
            assert order == sorted(order)

    @invariant()
    def a_refusal_says_when_to_come_again(self) -> None:
        for visit in self.model.visits:
            if visit.error is not None:
                seconds = int(visit.error.headers["retry-after"])
                assert 1 <= seconds <= 60
                assert seconds - 1 < int(visit.error.headers["retry-after-ms"]) / 1000 <= seconds

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if not self.settled:
            return
        waiting = self.model.waiting()
        assert self.model.queue.depth == len(waiting)
        assert self.model.queue.must_wait() == bool(waiting)
        assert not (waiting and self.model.has_room()), "a wake-up was lost"
        assert self.model.in_flight == len(self.model.running())
        assert all(visit.deadline > self.model.loop.now for visit in waiting)
        for visit in self.model.visits:
            assert visit.task is not None
            if visit.task.done() and not visit.task.cancelled():
                visit.task.result()

    def teardown(self) -> None:
        self.model.close()
        for visit in self.model.visits:
            assert visit.task is not None
            assert visit.task.done()
            if not visit.task.cancelled():  # before it had begun
                visit.task.result()


AnyOrder.TestCase.settings = settings(stateful_step_count=60, deadline=None)
TestAnyOrder = AnyOrder.TestCase
