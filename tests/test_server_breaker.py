"""The circuit breaker and the retry budget, with a clock of their own."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from server.breaker import FAILURES, OPEN_S, Breaker
from server.retry_budget import BURST, SHARE, RetryBudget


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.allow()
        breaker.failed()
    assert breaker.state == "open"
    return breaker


def test_failures_in_a_row_open_it_and_one_probe_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    assert not breaker.allow()
    clock.now += OPEN_S[0]
    assert breaker.allow()
    assert not breaker.allow(), "only one probe"
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allow()


def test_each_failed_probe_doubles_the_wait() -> None:
    clock = Clock()
    breaker = opened(clock)
    for length in [*OPEN_S, OPEN_S[-1]]:
        clock.now += length - 0.01
        assert not breaker.would_allow()
        clock.now += 0.01
        assert breaker.allow()
        breaker.failed()


def test_a_probe_whose_client_went_away_gives_its_place_back() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += OPEN_S[0]
    assert breaker.allow()
    breaker.abandoned()
    assert breaker.allow()


def test_more_failures_than_successes_open_it_without_a_row() -> None:
    breaker = Breaker(Clock())
    for _ in range(8):
        for outcome in (breaker.failed, breaker.succeeded, breaker.failed):
            if breaker.allow():
                outcome()
    assert breaker.state == "open"


@given(st.lists(st.sampled_from(["ok", "fail", "gone", "wait"]), max_size=80))
def test_it_never_stays_shut_for_longer_than_the_longest_back_off(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for step in steps:
        if step == "wait":
            clock.now += 1.0
        elif breaker.allow():
            {"ok": breaker.succeeded, "fail": breaker.failed, "gone": breaker.abandoned}[step]()
    clock.now += OPEN_S[-1]
    assert breaker.allow()


def test_retries_stay_a_share_of_the_requests() -> None:
    budget = RetryBudget()
    retries = 0
    for _ in range(10_000):
        budget.deposit()
        retries += budget.try_withdraw()
    assert retries <= BURST + SHARE * 10_000
    assert retries >= SHARE * 10_000 - 1
