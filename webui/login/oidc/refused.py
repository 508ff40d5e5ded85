"""Why nobody was logged in."""

from typing import Literal

Reason = Literal[
    "provider_away",
    "provider_refused",
    "provider_wrong",
    "sign_in_cancelled",
    "sign_in_unknown",
    "identity_refused",
    "not_admitted",
]
"""The provider: does not answer, refuses us, or says what it must not; its user: said no, began in another
browser or too long ago, is not who the ID token should be about, or has no role here."""
STATUS: dict[Reason, int] = {
    "provider_away": 503,
    "provider_refused": 502,
    "provider_wrong": 502,
    "sign_in_cancelled": 403,
    "sign_in_unknown": 400,
    "identity_refused": 403,
    "not_admitted": 403,
}


class SignInRefused(Exception):
    """Nobody is logged in."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """`detail` is for the log: no token, and nothing about the user."""
        super().__init__(detail)
        self.reason: Reason = reason
