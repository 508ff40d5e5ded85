"""The gateway's guard: what a key is here, and what a request of it may use while it runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from common.cors import CrossOrigin
from common.doors import PUBLIC, Door
from common.errors import PermissionDenied
from common.guard import Guard
from common.own_hosts import OwnHosts
from common.strict_json import require_json
from server.client.request import parse_head
from server.settings import GatewaySettings

if TYPE_CHECKING:
    from server.accounts.accounts import Accounts
    from server.accounts.keys import Key

ADMIN_TOKEN_ID = "admin-token"
"""Id of whoever brings the admin token of the settings, which is no key of the store."""
FOREIGN_ROUTES = {
    "/openapi.json": PUBLIC,
    "/static-offline-docs": PUBLIC,
    "/docs": PUBLIC,
    "/docs/oauth2-redirect": PUBLIC,
    "/redoc": PUBLIC,
}
"""Routes that FastAPI makes."""


def get_key(request: Request) -> "Key":
    """Whose request it is, as the guard has found."""
    key: Key = request.state.key
    return key


if TYPE_CHECKING:
    KeyDep = Annotated[Key, Depends(get_key)]
else:
    KeyDep = Annotated[object, Depends(get_key)]


def gateway_guard(settings: GatewaySettings, accounts: "Callable[[], Accounts]") -> "Guard[Key]":
    """The guard of one gateway; `accounts` is asked when the first request comes."""

    def authenticate(token: str, door: Door) -> "Key":
        if door.access == "key+model":
            return accounts().authenticate(
                token
            )  # before the imports, which every relayed request would pay for
        return _authenticate(accounts(), settings, token, door)

    return Guard(
        OwnHosts(settings.host, settings.allowed_hosts),
        CrossOrigin(settings.cors_origins),
        authenticate,
        lambda: accounts().required,
        settings.max_body_bytes,
        settings.body_timeout_s,
    )


def _authenticate(accounts: "Accounts", settings: GatewaySettings, token: str, door: Door) -> "Key":
    from server.accounts.accounts import matches_admin_token
    from server.accounts.keys import ANONYMOUS, Key

    if door.access == "public":
        return ANONYMOUS
    if matches_admin_token(token, settings.admin_token):
        return Key(ADMIN_TOKEN_ID, ADMIN_TOKEN_ID, admin=True)
    key = accounts.authenticate(token)
    if door.access == "admin" and not key.admin:
        raise PermissionDenied(
            "This needs an admin key.",
            hint="Make one with `kodolly keys create NAME --admin`, or set KODOLLY_ADMIN_TOKEN.",
        )
    return key


def admission(
    accounts: "Callable[[], Accounts]",
) -> "Callable[[Key, Door, bytes], AbstractAsyncContextManager[None]]":
    """What the guard calls before a route of FastAPI runs; the relay admits by itself.

    Raises PermissionDenied for a model that the key may not use, BadRequest where none is named and for
    what is no JSON, RateLimited and Overloaded.
    """

    @asynccontextmanager
    async def admit(key: "Key", door: Door, body: bytes) -> AsyncIterator[None]:
        if body and door.content == "json":
            require_json(body)
        if door.access == "key+model":
            accounts().check_model(key, parse_head(body).model)
        if door.access not in ("key", "key+model") or not door.limited or not key.limited:
            yield
            return
        grant = await accounts().admit_call(key)
        try:
            yield
        finally:
            accounts().settle(grant, "ok", None)

    return admit
