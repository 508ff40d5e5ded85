"""The cookie of somebody who has logged in, whichever way: no script reads it, and no other site sends it."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from webui.cookies import cookie_in

COOKIE = "kodolly-session"


@dataclass(frozen=True)
class LoggedIn:
    """A session that has begun."""

    secret: bytes = field(repr=False)
    expires: datetime

    @property
    def cookie(self) -> str:
        """The cookie's value."""
        return base64.urlsafe_b64encode(self.secret).decode()


def cookie_bytes(request: Request) -> bytes | None:
    """What the browser's cookie holds; None where there is none, or one that we have not made."""
    value = cookie_in(request.headers.get("cookie"), COOKIE)
    try:
        return base64.b64decode(value, b"-_", validate=True) if value is not None else None
    except ValueError:
        return None


def give_cookie(answer: Response, begun: LoggedIn, *, secure: bool) -> None:
    """Have the browser keep the session until it ends."""
    answer.set_cookie(
        COOKIE,
        begun.cookie,
        max_age=max(0, int((begun.expires - datetime.now(UTC)).total_seconds())),
        httponly=True,
        samesite="lax",
        secure=secure,
    )


def take_cookie_away(answer: Response, *, secure: bool) -> None:
    """Have the browser forget it."""
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=secure)
