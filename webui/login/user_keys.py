"""A key of the gateway for everybody whom a proxy or a provider names: usage, limits and feedback are theirs.

Its secret is derived from the page's own key, so every process of the web UI knows it and it is kept nowhere;
the gateway is told its digest. Whoever has the page's key, an administrator's, could make such keys anyway.
"""

import asyncio
import hashlib
import hmac
import logging
import math
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from common.errors import PermissionDenied
from webui.gateway_client import GatewayClient, GatewayError
from webui.login.own_key import ASKED_EVERY_S, own_key, parsed_key
from webui.login.visitor import Visitor

logger = logging.getLogger(__name__)

IN_FORCE_S = 2.0
"""A key that was made at one gateway is known to all of them after so long (docs/keys.md)."""
ASK_SOON_S = 5.0
"""When a gateway that was away is asked again, or about somebody who may not come in."""
MOST_KNOWN = 10_000
"""Users of whom it is known when the gateway was asked about their key."""


@dataclass
class _Known:
    asked_at: float = -math.inf
    """In monotonic seconds."""
    admin: bool = False
    out_until: float = -math.inf
    """Until then nobody asks: they may not come in."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class UserKeys:
    """Makes the keys, and tells which is whose. `gateway` asks with the key of whoever is served, and with
    the page's own, `page_key`, where nobody is."""

    def __init__(self, gateway: GatewayClient, page_key: str) -> None:
        self._gateway, self._page_key = gateway, page_key
        self._known: dict[str, _Known] = {}
        """By key."""
        gateway.key_refused = self._ask_anew
        self._page_key_until = -math.inf
        """Until then everybody asks with the page's key, which may make no other."""

    async def given(self, visitor: Visitor) -> Visitor:
        """The visitor with their key; without one where the page's own may not make any. Raises
        PermissionDenied for whom an administrator has taken it from."""
        if time.monotonic() < self._page_key_until:
            return visitor
        key = self._secret(visitor.user)
        if key not in self._known and len(self._known) >= MOST_KNOWN:
            self._known.clear()
        known = self._known.setdefault(key, _Known())
        keyed = replace(visitor, key=key)
        async with known.asking:  # a page that opens asks for many things at once
            if time.monotonic() < known.out_until:
                raise _taken_away()
            if known.admin == visitor.admin and time.monotonic() - known.asked_at < ASKED_EVERY_S:
                return keyed
            try:
                await self._ensure(keyed)
            except GatewayError as error:
                return self._without_answer(error, visitor, keyed, known)
            except PermissionDenied:
                known.out_until = time.monotonic() + ASK_SOON_S
                raise
            known.asked_at, known.admin = time.monotonic(), visitor.admin
        return keyed

    async def _ensure(self, keyed: Visitor) -> None:
        """Have the gateway take the visitor's key. Raises GatewayError and PermissionDenied."""
        try:
            own = await own_key(self._gateway, keyed)
        except GatewayError as error:
            if error.failure.kind != "login_ended":
                raise
            await self._put(keyed)
            await asyncio.sleep(IN_FORCE_S)  # once for each user: the first time that they come
        else:
            if own.admin != keyed.admin and not own.anonymous:
                await self._put(keyed)

    async def _put(self, keyed: Visitor) -> None:
        digest = hashlib.sha256((keyed.key or "").encode()).hexdigest()
        body = {"name": keyed.name, "admin": keyed.admin, "secret_sha256": digest}
        try:
            told = await self._gateway.send("PUT", f"/admin/keys/key_{keyed.user[:32]}", body)
        except GatewayError as error:
            if error.failure.kind == "login_ended":
                raise _taken_away() from error
            raise
        expires = parsed_key(told).expires
        if expires is not None and expires <= datetime.now(UTC):
            raise _taken_away()

    def _ask_anew(self, key: str) -> None:
        """At the next request of its user: revoked, or another page with a key of its own has changed it."""
        if (known := self._known.get(key)) is not None:
            known.asked_at = -math.inf

    def _without_answer(
        self, error: GatewayError, visitor: Visitor, keyed: Visitor, known: _Known
    ) -> Visitor:
        now = time.monotonic()
        if error.failure.kind != "gateway_key":  # the page says what is wrong with the gateway
            known.asked_at = now - ASKED_EVERY_S + ASK_SOON_S
            known.admin = visitor.admin
            return keyed
        if self._page_key_until == -math.inf:
            logger.warning(
                "webui: the page's own key (KODOLLY_API_KEY) is no administrator's, so no user gets a key of"
                " their own: usage and limits of all are those of the page's. Make it one with"
                " `kodolly keys update KEY --admin`."
            )
        self._page_key_until = now + ASKED_EVERY_S
        return visitor

    def _secret(self, user: str) -> str:
        """HMAC-SHA256 (RFC 2104) of the user under the page's key: 256 bits, not to be guessed without it."""
        mac = hmac.digest(self._page_key.encode(), f"kodolly user key:{user}".encode(), "sha256")
        return "sk-kodolly-" + urlsafe_b64encode(mac).decode().rstrip("=")


def _taken_away() -> PermissionDenied:
    return PermissionDenied(
        "An administrator has ended this account's access.",
        code="access_ended",
        hint="Ask an administrator: your key of the gateway was revoked or has expired.",
    )
