"""The circuit breaker: when it opens, how long for, and that late outcomes cannot mislead it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from server.upstreams.breaker import Breaker, usable


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(breaker.allow())


def state_of(breaker: Breaker) -> str:
    """A property, which mypy would hold for what it was before the breaker's last call."""
    return breaker.state


def opened(clock: Clock, times: int = 1) -> Breaker:
    """A breaker that is open for the `times`-th time in a row."""
    breaker = Breaker(clock)
    fail(breaker, 5)
    for _ in range(times - 1):
        clock.now = breaker.open_until
        fail(breaker, 1)
    assert breaker.state == "open"
    return breaker


def test_the_fifth_failure_in_a_row_opens_it_and_a_success_starts_the_count_again() -> None:
    breaker = Breaker(Clock())
    fail(breaker, 4)
    breaker.succeeded(breaker.allow())
    fail(breaker, 4)
    assert (breaker.state, breaker.ready) == ("closed", True)
    fail(breaker, 1)
    assert (breaker.state, breaker.ready, breaker.allow()) == ("open", False, 0)


def test_parallel_requests_open_it_once_and_the_rest_of_them_is_not_counted() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    tickets = [breaker.allow() for _ in range(200)]
    for ticket in tickets:
        breaker.failed(ticket)
    assert breaker.open_until == clock.now + 1
    clock.now += 1
    breaker.succeeded(breaker.allow())
    for ticket in tickets:
        breaker.failed(ticket)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("pattern", "opens_at"),
    [("SFF", 20), ("FFS", 20), ("SF", None), ("SSF", None), ("SFFSF", 20), ("SSSSSFFFF", None)],
)
def test_more_than_half_of_twenty_requests_open_it(pattern: str, opens_at: int | None) -> None:
    breaker = Breaker(Clock())
    for number in range(1, 1001):
        ticket = breaker.allow()
        failed = pattern[(number - 1) % len(pattern)] == "F"
        (breaker.failed if failed else breaker.succeeded)(ticket)
        if breaker.state == "open":
            assert opens_at is not None
            assert opens_at <= number <= opens_at + len(pattern)
            return
    assert opens_at is None


@given(st.integers(0, 500))
def test_a_long_good_past_does_not_hide_a_bad_present(successes: int) -> None:
    breaker = Breaker(Clock())
    for _ in range(successes):
        breaker.succeeded(breaker.allow())
    for number in range(1, 200):
        (breaker.succeeded if number % 4 == 0 else breaker.failed)(breaker.allow())
        if breaker.state == "open":
            assert number <= 80
            return
    raise AssertionError("three failures of four never opened it")


def test_the_back_off_doubles_up_to_thirty_seconds_and_starts_again_after_a_success() -> None:
    clock = Clock()
    breaker = opened(clock)
    waits = []
    for _ in range(7):
        waits.append(breaker.open_until - clock.now)
        clock.now = math.nextafter(breaker.open_until, 0)
        assert (breaker.state, breaker.allow()) == ("open", 0)
        clock.now = breaker.open_until
        assert breaker.state == "half_open"
        fail(breaker, 1)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    clock.now = breaker.open_until
    breaker.succeeded(breaker.allow())
    fail(breaker, 5)
    assert breaker.open_until == clock.now + 1


def test_an_abandoned_probe_gives_its_place_to_the_next_and_says_nothing_of_the_upstream() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 1
    first = breaker.allow()
    assert first
    assert not breaker.allow()
    breaker.abandoned(first)
    assert breaker.state == "half_open"
    second = breaker.allow()
    assert second
    breaker.abandoned(first)  # a late word of the first does not free the place of the second
    assert not breaker.allow()
    breaker.failed(first)
    breaker.succeeded(first)
    assert state_of(breaker) == "half_open"
    breaker.succeeded(second)
    breaker.abandoned(second)
    assert state_of(breaker) == "closed"


def test_a_client_that_leaves_an_old_request_does_not_free_the_place_of_the_probe() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    old = [breaker.allow() for _ in range(6)]
    for ticket in old[:5]:
        breaker.failed(ticket)
    clock.now += 1
    probe = breaker.allow()
    breaker.abandoned(old[5])
    assert not breaker.allow()
    breaker.succeeded(old[5])
    assert state_of(breaker) == "half_open"
    breaker.failed(probe)
    assert state_of(breaker) == "open"


def test_a_refusal_is_no_ticket() -> None:
    clock = Clock()
    breaker = opened(clock)
    until = breaker.open_until
    for report in (breaker.succeeded, breaker.failed, breaker.abandoned):
        report(breaker.allow())
    clock.now += 1
    breaker.failed(0)
    breaker.succeeded(0)
    assert (breaker.state, breaker.open_until) == ("half_open", until)


def test_a_forced_request_can_close_it_but_not_prolong_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    until = breaker.open_until
    breaker.failed(breaker.force())
    assert breaker.open_until == until
    forced = breaker.force()
    clock.now = until
    probe = breaker.force()  # the back-off is over: this one is the probe
    assert not breaker.ready
    breaker.succeeded(forced)
    assert breaker.state == "closed"
    breaker.failed(probe)
    fail(breaker, 4)
    assert breaker.state == "closed"


# -- several upstreams of one model --------------------------------------------------------------


def test_all_open_means_all_are_asked() -> None:
    clock = Clock()
    for count in range(5):
        assert usable([opened(clock) for _ in range(count)]) == list(range(count))


def test_at_most_half_rounded_up_are_left_out_and_those_back_soonest_stay() -> None:
    clock = Clock()
    # Each takes its time to be opened so often; what is left of the back-offs is 20, 5, 4 and 1 s.
    longest, long, short, shortest = (opened(clock, times) for times in (6, 4, 3, 1))
    closed = Breaker(clock)
    assert usable([closed, shortest]) == [0]
    assert usable([closed, long, shortest]) == [0]
    assert usable([closed, short, long, shortest]) == [0, 3]
    assert usable([short, closed, closed, shortest]) == [1, 2]
    assert usable([longest, closed, short, longest, long]) == [1, 2]
    assert usable([longest, shortest, closed, short, longest, long]) == [1, 2, 3]


def test_an_upstream_that_can_be_probed_is_offered_until_somebody_probes_it() -> None:
    clock = Clock()
    closed, resting = Breaker(clock), opened(clock)
    assert usable([closed, resting]) == [0]
    clock.now += 1
    assert usable([closed, resting]) == usable([closed, resting]) == [0, 1]
    assert resting.allow()
    assert usable([closed, resting]) == [0]


@given(st.lists(st.sampled_from(["closed", "open", "probeable", "probed"]), max_size=9))
def test_usable_holds_every_ready_one_and_never_less_than_half(states: list[str]) -> None:
    breakers = []
    for state in states:
        own = Clock()
        breaker = Breaker(own) if state == "closed" else opened(own)
        if state in ("probeable", "probed"):
            own.now += 1
        if state == "probed":
            assert breaker.allow()
        breakers.append(breaker)
    ready = [at for at, state in enumerate(states) if state in ("closed", "probeable")]
    got = usable(breakers)
    assert got == sorted(set(got))
    assert set(ready) <= set(got)
    assert len(got) == (max(len(ready), len(states) // 2) if ready else len(states))


# -- any order of events -------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Requests come, end and are given up in every order, against what the rules say in words."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)
        self.out: dict[int, int] = {}
        """Ticket -> how many requests hold it."""
        self.probes: set[int] = set()
        self.forced: set[int] = set()
        self.failures = 0
        """In a row, of requests let through since the breaker was last closed."""
        self.outcomes = 0
        self.current: set[int] = set()
        """Tickets given since it was last closed."""

    def take(self, ticket: int) -> None:
        self.out[ticket] = self.out.get(ticket, 0) + 1

    def give_back(self, data: st.DataObject) -> int:
        ticket = data.draw(st.sampled_from(sorted(self.out)))
        self.out[ticket] -= 1
        if not self.out[ticket]:
            del self.out[ticket]
        return ticket

    @rule()
    def ask(self) -> None:
        state, ready = self.breaker.state, self.breaker.ready
        ticket = self.breaker.allow()
        assert bool(ticket) == ready
        if state == "closed":
            assert ticket
            self.current.add(ticket)
        elif state == "open":
            assert not ticket
        elif ticket:
            assert not self.probes
            assert ticket not in self.out
            self.probes.add(ticket)
        else:
            assert self.probes
        if ticket:
            self.take(ticket)

    @rule()
    def ask_all_the_same(self) -> None:
        state, ready = self.breaker.state, self.breaker.ready
        ticket = self.breaker.force()
        assert ticket
        if state == "closed":
            self.current.add(ticket)
        elif ready:
            self.probes.add(ticket)
        else:
            self.forced.add(ticket)
        self.take(ticket)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        ticket, before = self.give_back(data), self.breaker.state
        self.breaker.succeeded(ticket)
        if before == "closed":
            if ticket in self.current:
                self.failures, self.outcomes = 0, self.outcomes + 1
            assert self.breaker.state == "closed"
        elif ticket in self.probes | self.forced:
            assert self.breaker.state == "closed"
            self.start_again()
        else:
            assert self.breaker.state == before

    @precondition(lambda self: self.out)
    @rule(data=st.data(), times=st.integers(1, 6))
    def fail(self, data: st.DataObject, times: int) -> None:
        for _ in range(times):
            if not self.out:
                return
            ticket, before = self.give_back(data), self.breaker.state
            until = self.breaker.open_until
            self.breaker.failed(ticket)
            if before == "closed":
                self.failures += ticket in self.current
                self.outcomes += ticket in self.current
                opens = self.breaker.state == "open"
                assert opens or self.failures < 5
                if opens:
                    assert self.failures >= 5 or self.outcomes >= 20
                    assert ticket in self.current
                    self.start_again()
            elif ticket in self.probes:
                assert self.breaker.state == "open"
                assert self.breaker.open_until > self.clock.now
                self.start_again()
            else:
                assert (self.breaker.state, self.breaker.open_until) == (before, until)

    def start_again(self) -> None:
        self.failures = self.outcomes = 0
        for tickets in (self.current, self.probes, self.forced):
            tickets.clear()

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket, before = self.give_back(data), (self.breaker.state, self.breaker.open_until)
        self.breaker.abandoned(ticket)
        self.probes.discard(ticket)
        assert (self.breaker.state, self.breaker.open_until) == before

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.0, 5.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def one_probe_at_most(self) -> None:
        assert len(self.probes) <= 1
        assert sum(self.out.get(ticket, 0) for ticket in self.probes) <= 1

    @invariant()
    def it_does_not_stay_open_for_more_than_thirty_seconds(self) -> None:
        assert self.breaker.open_until <= self.clock.now + 30


TestAnyOrder = AnyOrder.TestCase
