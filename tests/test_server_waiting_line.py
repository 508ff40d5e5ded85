"""The waiting line of a model: bounded, fair, and no place lost or doubled whatever the order of events."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Overloaded
from server.waiting_line import WaitingLine


@dataclass
class Workers:
    """Places, and who took them in which order."""

    places: int
    busy: int = 0
    most: int = 0
    served: list[str] = field(default_factory=list)
    now: float = 0.0

    def queue(self, limit: int = 100) -> WaitingLine:
        return WaitingLine(limit, lambda: self.places - self.busy, lambda: self.now)

    async def request(self, queue: WaitingLine, key: str, hold: asyncio.Event, timeout_s: float = 5.0) -> None:
        if queue.must_wait():
            await queue.wait(key, timeout_s)
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.served.append(key)
        try:
            await hold.wait()
        finally:
            self.busy -= 1
            queue.ended()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_keys_take_turns_and_each_key_keeps_its_order() -> None:
    workers = Workers(places=1)
    queue, hold = workers.queue(), asyncio.Event()
    first = asyncio.create_task(workers.request(queue, "first", hold))
    await settle()
    tasks = [asyncio.create_task(workers.request(queue, "many", hold)) for _ in range(50)]
    await settle()
    tasks.append(asyncio.create_task(workers.request(queue, "one", hold)))
    await settle()
    assert queue.depth == 51
    hold.set()
    await asyncio.gather(first, *tasks)
    assert workers.served.index("one") <= 2
    assert workers.most == 1
    assert queue.depth == 0


async def test_a_full_line_refuses_at_once_and_says_when_to_come_back() -> None:
    workers = Workers(places=1)
    queue, hold = workers.queue(limit=2), asyncio.Event()
    tasks = [asyncio.create_task(workers.request(queue, "a", hold)) for _ in range(3)]
    await settle()
    for _ in range(20):  # 2 requests a second
        workers.now += 0.5
        queue.ended()
    with pytest.raises(Overloaded) as refused:
        await queue.wait("b", 5)
    # 2 wait and this one would be third, at a rate that is still rising to 2 a second.
    assert 1 <= int(refused.value.headers["retry-after"]) <= 4
    assert int(refused.value.headers["retry-after-ms"]) >= 1000
    hold.set()
    await asyncio.gather(*tasks)


async def test_who_waits_too_long_is_told_and_leaves_no_trace() -> None:
    workers = Workers(places=0)
    queue = workers.queue()
    with pytest.raises(Overloaded, match="busy"):
        await queue.wait("a", 0.01)
    assert queue.depth == 0
    workers.places = 1
    assert not queue.must_wait()


@given(
    st.integers(1, 3),
    st.lists(
        st.tuples(st.sampled_from(["come", "cancel", "finish", "grow"]), st.integers(0, 9)), max_size=60
    ),
)
def test_places_are_never_lost_nor_given_twice(places: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        workers = Workers(places=places)
        queue = workers.queue()
        holds: list[asyncio.Event] = []
        tasks: list[asyncio.Task[None]] = []
        for step, number in steps:
            if step == "come":
                holds.append(asyncio.Event())
                tasks.append(asyncio.create_task(workers.request(queue, f"key-{number % 3}", holds[-1])))
            elif step == "grow":
                workers.places += 1
                queue.wake()
            elif tasks and step == "cancel":
                tasks[number % len(tasks)].cancel()
            elif holds:
                holds[number % len(holds)].set()
            if number % 2:  # sometimes several things happen before anybody can react
                await settle()
        await settle()
        assert workers.most <= workers.places
        waiting = sum(not task.done() for task in tasks) - workers.busy
        assert queue.depth == waiting
        assert workers.busy == workers.places or not waiting, "a free place, and somebody waits"
        for hold in holds:
            hold.set()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert (queue.depth, workers.busy) == (0, 0)
        assert not queue.must_wait()

    asyncio.run(run())
