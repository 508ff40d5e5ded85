"""The waiting line: bounded, fair by key, no wake-up lost whoever leaves when, a Retry-After that holds."""

import asyncio
import math
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from common.errors import ModelNotReady, Overloaded
from server.inference.queue import ModelQueue
from tests.support.stepped_line import Model

Make = Callable[[int, int], Model]


@pytest.fixture
def make_model() -> Iterator[Callable[[int, int], Model]]:
    made: list[Model] = []

    def make(slots: int, limit: int) -> Model:
        made.append(Model(slots, limit))
        return made[-1]

    yield make
    for model in made:
        model.close()


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
