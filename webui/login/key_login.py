"""Login by a key of the gateway: the key is the account, with its limits, its usage and its role."""

import hashlib
import math
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from starlette.requests import Request

from webui.gateway_client import GatewayClient, GatewayError
from webui.login.key_halves import KEY_BYTES, cut, joined
from webui.login.own_key import ASKED_EVERY_S, OwnKey, own_key
from webui.login.session_cookie import LoggedIn, cookie_bytes
from webui.login.visitor import Visitor, user_id
from webui.store.sessions import LoginSession, Sessions

SECRET_BYTES = 32
LASTS = timedelta(days=30)
MOST_ASKED = 10_000
"""Sessions of which it is known when that was."""
LoginRefusal = Literal["key_refused", "no_keys", "gateway_away"]


class LoginRefused(Exception):
    """Nobody is logged in by this key."""

    def __init__(self, reason: LoginRefusal) -> None:
        super().__init__(reason)
        self.reason = reason


class KeyLogin:
    """Begins, checks and ends sessions. `gateway` asks with the key of whoever is served."""

    def __init__(self, gateway: GatewayClient, sessions: Sessions) -> None:
        self._gateway, self._sessions = gateway, sessions
        self._asked: dict[str, tuple[float, bool]] = {}
        """By session: when the gateway was last asked, in monotonic seconds, and whether it is an admin's."""

    async def begin(self, key: str) -> LoggedIn:
        """Log in. Raises LoginRefused, StoreFailed."""
        try:
            mine, theirs = cut(key)
        except ValueError as error:
            raise LoginRefused("key_refused") from error
        if not key.isascii() or not key.isprintable() or " " in key or not key:
            raise LoginRefused("key_refused")
        own = await self._ask(key)
        if own.anonymous:
            raise LoginRefused("no_keys")
        secret = secrets.token_bytes(SECRET_BYTES)
        expires = min(filter(None, (datetime.now(UTC) + LASTS, own.expires)))
        user = user_id("key", own.id)
        await self._sessions.begin(LoginSession(_digest(secret), user, own.name, own.admin, theirs, expires))
        return LoggedIn(secret + mine, expires)

    async def admit(self, request: Request, opens_page: bool) -> Visitor | None:
        """Whose session the cookie names. The gateway is asked whether it takes the key when a page is
        opened, and while it stays open every ASKED_EVERY_S: a refused one ends the session. Raises
        StoreFailed."""
        halves = _halves(request)
        session = await self._sessions.find(_digest(halves[0])) if halves else None
        if halves is None or session is None:
            return None
        key = joined(halves[1], session.half)
        if key is None:
            return None
        asked_at, admin = self._asked.get(session.id, (-math.inf, session.admin))
        visitor = Visitor(session.user, session.name, admin, key)
        if not opens_page and time.monotonic() - asked_at < ASKED_EVERY_S:
            return visitor
        self._note(session.id, admin)  # what comes meanwhile does not wait for a gateway that hangs
        try:
            own = await self._ask(key)
        except LoginRefused as refused:
            if refused.reason == "gateway_away":
                return visitor  # the page shows what is kept, and says that the gateway is away
            await self._sessions.end(session.id)
            return None
        self._note(session.id, own.admin)
        return Visitor(session.user, own.name, own.admin, key)

    def _note(self, session_id: str, admin: bool) -> None:
        if len(self._asked) >= MOST_ASKED:
            self._asked.clear()
        self._asked[session_id] = (time.monotonic(), admin)

    async def end(self, request: Request) -> None:
        """Log out. Raises StoreFailed."""
        if halves := _halves(request):
            await self._sessions.end(_digest(halves[0]))

    async def _ask(self, key: str) -> OwnKey:
        try:
            return await own_key(self._gateway, Visitor("", "", admin=False, key=key))
        except GatewayError as error:
            ended = error.failure.kind == "login_ended"
            raise LoginRefused("key_refused" if ended else "gateway_away") from error


def _halves(request: Request) -> tuple[bytes, bytes] | None:
    value = cookie_bytes(request) or b""
    return (value[:SECRET_BYTES], value[SECRET_BYTES:]) if len(value) == SECRET_BYTES + KEY_BYTES else None


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
