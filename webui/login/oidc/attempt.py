"""One sign-in on its way: what the browser must bring back with the provider's answer.

It lies in a cookie of its own, so any process can go on with it, and nothing has to be kept for those who
never come back. Only the browser that began has it: an answer that somebody else was led to is refused
(RFC 6749, 10.12). Each sign-in has its own cookie, so that two tabs do not disturb each other.
"""

import base64
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from webui.cookies import cookie_in

COOKIE = "kodolly-sign-in-"
PATH = "/login"
LASTS_S = 15 * 60
"""Long enough for a second factor that has to be looked for."""
SECRET_BYTES = 32
NAME_CHARACTERS = 12
"""Of the state, in the cookie's name."""
LONGEST_STATE = 100


@dataclass(frozen=True)
class Attempt:
    """What was told to the provider, and what was not."""

    state: str = field(repr=False)
    """Comes back as a parameter."""
    nonce: str = field(repr=False)
    """Comes back within the ID token."""
    verifier: str = field(repr=False)
    """Of PKCE (RFC 7636): told with the code, so that a code alone is worth nothing."""
    wanted: str
    """The page to go to afterwards."""


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    state: str
    nonce: str
    verifier: str
    wanted: str


def new_attempt(wanted: str) -> Attempt:
    """One with secrets of its own."""
    state, nonce, verifier = (secrets.token_urlsafe(SECRET_BYTES) for _ in range(3))
    return Attempt(state, nonce, verifier, wanted)


def keep_attempt(answer: Response, attempt: Attempt, *, secure: bool) -> None:
    """Have the browser keep it until the provider sends it back."""
    value = base64.urlsafe_b64encode(json.dumps(asdict(attempt)).encode()).decode()
    name = _cookie_name(attempt.state)
    answer.set_cookie(name, value, LASTS_S, path=PATH, httponly=True, samesite="lax", secure=secure)


def forget_attempt(answer: Response, attempt: Attempt, *, secure: bool) -> None:
    """Have the browser forget it, whatever became of it."""
    answer.delete_cookie(_cookie_name(attempt.state), PATH, httponly=True, samesite="lax", secure=secure)


def attempt_in(request: Request, state: str) -> Attempt | None:
    """The one that this browser began under `state`."""
    if not _is_state(state):
        return None
    try:
        value = cookie_in(request.headers.get("cookie"), _cookie_name(state)) or ""
        kept = _Kept.model_validate_json(base64.b64decode(value, b"-_", validate=True))
    except ValueError:
        return None
    if not hmac.compare_digest(kept.state.encode(), state.encode()):
        return None
    return Attempt(kept.state, kept.nonce, kept.verifier, kept.wanted)


def _is_state(state: str) -> bool:
    """Whether it could be one of ours: it becomes part of a cookie's name."""
    bare = state.replace("-", "").replace("_", "")
    return len(state) <= LONGEST_STATE and bare.isascii() and bare.isalnum()


def _cookie_name(state: str) -> str:
    return COOKIE + state[:NAME_CHARACTERS]
