"""Sessions of users whom an OpenID Connect provider has named."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from common.graphemes import cut
from common.normal_form import nfc
from webui.login.oidc.attempt import Attempt, new_attempt
from webui.login.oidc.id_token import Claims
from webui.login.oidc.provider import Provider
from webui.login.oidc.refused import SignInRefused
from webui.login.oidc.roles import Roles
from webui.login.session_cookie import LoggedIn, cookie_bytes
from webui.login.visitor import Visitor, user_id
from webui.store.sessions import LoginSession, Sessions

LASTS = timedelta(hours=12)
"""A working day: whom the provider no longer lets in is out after it."""
SECRET_BYTES = 32
NAME_CHARACTERS = 200
NAMES = ("name", "preferred_username", "email", "sub")


@dataclass(frozen=True)
class Answer:
    """What the provider has the browser bring back (RFC 6749, 4.1.2; RFC 9207)."""

    code: str
    error: str
    issuer: str
    """Empty from providers that do not say it."""


class OidcLogin:
    """Begins, checks and ends sessions. What is left of a login lies in the store and the cookie alone."""

    def __init__(self, provider: Provider, roles: Roles, sessions: Sessions) -> None:
        self._client = provider.client
        self._roles, self._provider, self._sessions = roles, provider, sessions

    async def start(self, wanted: str) -> tuple[str, Attempt]:
        """Where to sign in at the provider, and what the browser must bring back. Raises SignInRefused."""
        attempt = new_attempt(wanted)
        return await self._provider.sign_in_url(attempt), attempt

    async def finish(self, answer: Answer, attempt: Attempt) -> LoggedIn:
        """Log in. Raises SignInRefused, StoreFailed."""
        if answer.issuer and answer.issuer != self._client.issuer:
            raise SignInRefused("identity_refused", "another provider answers")
        if answer.error == "access_denied":
            raise SignInRefused("sign_in_cancelled", "the provider says: access_denied")
        if answer.error or not answer.code:
            raise SignInRefused("provider_refused", f"the provider says: {answer.error[:100]!r}")
        claims = await self._provider.claims(answer.code, attempt, more=self._roles.lacks)
        named = self._roles.named(claims)
        role = self._roles.role(named)
        if role is None:
            claims_asked = ", ".join(self._roles.claims)
            raise SignInRefused("not_admitted", f"no value of {claims_asked} is named in the settings")
        secret = secrets.token_bytes(SECRET_BYTES)
        user = user_id("oidc", f"{self._client.issuer}#{claims['sub']}")
        name, expires = shown_name(claims), datetime.now(UTC) + LASTS
        session = LoginSession(
            self._session_id(secret), user, name, role == "admin", b"", expires, tuple(named)
        )
        await self._sessions.begin(session)
        return LoggedIn(secret, expires)

    async def admit(self, request: Request, _opens_page: bool) -> Visitor | None:
        """Whose session the cookie names; their role is what the settings say now. Raises StoreFailed."""
        secret = cookie_bytes(request)
        if secret is None or len(secret) != SECRET_BYTES:
            return None
        session = await self._sessions.find(self._session_id(secret))
        role = self._roles.role(list(session.named)) if session else None
        if session is None or role is None:
            return None
        return Visitor(session.user, session.name, role == "admin", rater=role == "rater")

    async def end(self, request: Request) -> None:
        """Log out here. Raises StoreFailed."""
        if secret := cookie_bytes(request):
            await self._sessions.end(self._session_id(secret))

    async def sign_out_url(self) -> str | None:
        """Where to log out at the provider, too; None where that is nowhere. Raises SignInRefused."""
        return await self._provider.sign_out_url()

    def _session_id(self, secret: bytes) -> str:
        """Sessions of another login, or of another provider, are none of ours."""
        domain = f"oidc:{self._client.issuer}#{self._client.client_id}:".encode()
        return hashlib.sha256(domain + secret).hexdigest()


def shown_name(claims: Claims) -> str:
    """What to call somebody."""
    for claim in NAMES:
        told = claims.get(claim)
        if isinstance(told, str) and (name := _one_line(told)):
            return name
    return "?"


def _one_line(told: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in nfc(told))
    return cut(" ".join(printable.split()), NAME_CHARACTERS)
