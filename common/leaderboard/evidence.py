"""Whether one model is better than another, for people who look after every vote.

A 95% interval that is looked at after each vote until it leaves one half declares a winner between two equal
models in 43% of all tests of 1,000 votes. The beta-binomial e-process here may be looked at as often as one
likes: it declares a false one in at most 5% (Ville's inequality; Howard et al. 2021, Annals of Statistics 49,
1055).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from common.leaderboard.intervals import Interval

PRIOR = 10.0
"""Beta(10, 10): alternatives around one half count most. Steps towards a decision are small then."""
DECIDED = math.log(20)
"""Evidence of 20 to 1: at most 1 in 20 false."""
MOST = 100_000
"""Above so many votes, how many more are needed is not said."""


@dataclass(frozen=True)
class Decision:
    """What the votes say so far."""

    winner: int | None
    """1 the first, -1 the second, None not decided yet."""
    evidence: float
    """Natural logarithm; log 20 decides. The highest that was reached after any vote."""
    votes: int
    more: int | None
    """Votes still needed if the share of wins stays as it is; None when decided, or when it is too far."""
    share: Interval
    """Wins of the first among the decided votes; the interval holds at every look at once."""


def log_evidence(wins: int, losses: int, share: float = 0.5) -> float:
    """Logarithm of the evidence against the first winning with this probability."""
    mixed = _log_beta(wins + PRIOR, losses + PRIOR) - _log_beta(PRIOR, PRIOR)
    return mixed - wins * math.log(share) - losses * math.log(1 - share)


def decide(outcomes: Sequence[bool]) -> Decision:
    """From decided votes in the order they came: True is a win of the first."""
    wins = losses = 0
    highest, winner = 0.0, None
    for won in outcomes:
        wins, losses = wins + won, losses + (not won)
        highest = max(highest, log_evidence(wins, losses))
        if winner is None and highest >= DECIDED:
            winner = 1 if wins > losses else -1
    share = wins / (wins + losses) if wins or losses else 0.5
    interval = Interval(share, _bound(wins, losses, 0.0), _bound(wins, losses, 1.0))
    more = _more(wins, losses) if winner is None else None
    return Decision(winner, highest, wins + losses, more, interval)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _more(wins: int, losses: int) -> int | None:
    """The fewest further votes that would decide, at the share that the prior and the votes make likely."""
    share = (wins + PRIOR) / (wins + losses + 2 * PRIOR)

    def decided(more: int) -> bool:
        won = round(more * share)
        return log_evidence(wins + won, losses + more - won) >= DECIDED

    step = 1
    while not decided(step):
        step *= 2
        if step > MOST:
            return None
    low, high = step // 2, step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high


def _bound(wins: int, losses: int, end: float) -> float:
    """Towards `end`, the last probability of a win that the votes do not refute."""
    inside, outside = (wins + PRIOR) / (wins + losses + 2 * PRIOR), end
    for _ in range(50):
        middle = (inside + outside) / 2
        if middle in (0.0, 1.0) or log_evidence(wins, losses, middle) >= DECIDED:
            outside = middle
        else:
            inside = middle
    return inside
