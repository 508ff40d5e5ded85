"""How many second attempts are allowed: a share of all requests, so that retries never become the load."""

from dataclasses import dataclass

SHARE = 0.2
"""Retries per request, in the long run."""
BURST = 512.0
"""Retries that may be saved up: all that a dying worker had not begun to answer can move at once."""


@dataclass(slots=True)
class RetryBudget:
    """A bucket that every request fills a little and every retry empties by one."""

    tokens: float = BURST

    def deposit(self) -> None:
        """A request has come."""
        self.tokens = min(BURST, self.tokens + SHARE)

    def try_withdraw(self) -> bool:
        """Take one retry, if there is one."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
