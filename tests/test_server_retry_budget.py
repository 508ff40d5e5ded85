"""Retries: a fifth of the requests, a burst, and one a second whatever happens."""

from hypothesis import given
from hypothesis import strategies as st

from server.inference.retry_budget import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def withdrawals(budget: RetryBudget, tries: int) -> int:
    return sum(budget.try_withdraw() for _ in range(tries))


def test_a_burst_of_ten_then_a_fifth_of_the_requests() -> None:
    budget = RetryBudget(10, Clock())
    assert withdrawals(budget, 100) == 10
    retries = 0
    for _ in range(1000):
        budget.deposit()
        retries += withdrawals(budget, 3)
    assert retries == 200


def test_what_is_not_used_is_not_saved_without_end() -> None:
    budget = RetryBudget(10, Clock())
    for _ in range(10_000):
        budget.deposit()
    assert budget.saved == 10
    assert withdrawals(budget, 100) == 10
    assert budget.saved == 0


def test_a_quiet_gateway_can_always_fail_over() -> None:
    clock = Clock()
    budget = RetryBudget(10, clock)
    assert withdrawals(budget, 11) == 10
    for _ in range(100):
        clock.now += 0.5
        assert not budget.try_withdraw()
        clock.now += 0.5
        assert withdrawals(budget, 5) == 1


@given(st.lists(st.sampled_from(["request", "retry", 0.0625, 1.0, 7.5]), max_size=300))
def test_no_stretch_of_time_has_more_retries_than_promised(events: list[str | float]) -> None:
    clock = Clock()
    budget = RetryBudget(10, clock)
    counts = [(0.0, 0, 0)]
    """Seconds, requests and retries so far."""
    for event in events:
        seconds, requests, retries = counts[-1]
        if event == "request":
            budget.deposit()
            counts.append((seconds, requests + 1, retries))
        elif event == "retry":
            counts.append((seconds, requests, retries + budget.try_withdraw()))
        else:
            assert isinstance(event, float)
            clock.now += event
            counts.append((seconds + event, requests, retries))
    for first in range(0, len(counts), 7):
        for seconds, requests, retries in counts[first:]:
            stretch = seconds - counts[first][0]
            assert retries - counts[first][2] <= 10 + (requests - counts[first][1]) / 5 + stretch + 1
