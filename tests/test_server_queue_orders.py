"""The waiting line in any order of arrivals, departures and time: bounded, fair, no wake-up lost."""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.stepped_line import Model

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
