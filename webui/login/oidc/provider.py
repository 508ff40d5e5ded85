"""The OpenID Connect provider: where it is found, where browsers are sent, and what it says of a code."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from pydantic import BaseModel, ConfigDict, ValidationError

from common.safe_addresses import is_safe_address
from webui.login.oidc.attempt import Attempt
from webui.login.oidc.id_token import Claims, Expected, checked_claims
from webui.login.oidc.refused import SignInRefused

WELL_KNOWN = "/.well-known/openid-configuration"
ANSWERS_WITHIN_S = 10.0
"""For everything that one step of a sign-in asks."""
DISCOVERED_FOR_S = 600.0
MOST_CONNECTIONS = 20
"""So that strangers who begin sign-ins cannot make this process ask without end."""


@dataclass(frozen=True)
class Client:
    """What the provider knows these pages as."""

    issuer: str
    client_id: str
    secret: str | None = field(repr=False)
    """None is a public client, which shows itself by PKCE alone."""
    redirect_uri: str
    scopes: str
    """With spaces between them."""


class Metadata(BaseModel):
    """What the provider says of itself (OpenID Connect Discovery 1.0, 3)."""

    model_config = ConfigDict(extra="ignore")
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]

    def addresses(self) -> list[str]:
        """Every address that is asked or led to."""
        given = (self.authorization_endpoint, self.token_endpoint, self.jwks_uri)
        return [*given, *filter(None, (self.userinfo_endpoint, self.end_session_endpoint))]


class Provider:
    """Asks one provider. To be closed. Every method but `aclose` raises SignInRefused."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._http = AsyncOAuth2Client(
            client.client_id,
            client.secret,
            scope=client.scopes,
            redirect_uri=client.redirect_uri,
            code_challenge_method="S256",
            timeout=ANSWERS_WITHIN_S,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # one user's are not the next one's
            limits=httpx2.Limits(max_connections=MOST_CONNECTIONS),
            # The provider may lie in the internet, behind the company's proxy.
            trust_env=True,
        )
        self._metadata: Metadata | None = None
        self._discovered = 0.0

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def sign_in_url(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in."""
        async with self._in_time():
            metadata = await self._discover()
        url, _ = self._http.create_authorization_url(
            metadata.authorization_endpoint,
            state=attempt.state,
            code_verifier=attempt.verifier,
            nonce=attempt.nonce,
        )
        return str(url)

    async def sign_out_url(self) -> str | None:
        """Where a browser signs out at the provider, too; None where that is nowhere."""
        async with self._in_time():
            metadata = await self._discover()
        if metadata.end_session_endpoint is None:
            return None
        return str(httpx2.URL(metadata.end_session_endpoint, params={"client_id": self.client.client_id}))

    async def claims(self, code: str, attempt: Attempt, *, more: Callable[[Claims], bool]) -> Claims:
        """Whom the provider means by `code`. Where `more` says that claims lack something, it is asked for
        the rest (OpenID Connect Core, 5.3)."""
        async with self._in_time():
            metadata = await self._discover()
            tokens = await self._redeem(metadata, code, attempt)
            access = tokens.get("access_token")
            expected = Expected(
                metadata.issuer,
                self.client.client_id,
                attempt.nonce,
                access if isinstance(access, str) else None,
            )
            keys = await self._get(metadata.jwks_uri)
            claims = checked_claims(str(tokens.get("id_token") or ""), keys, expected)
            if metadata.userinfo_endpoint is None or expected.access_token is None or not more(claims):
                return claims
            told = await self._get(metadata.userinfo_endpoint, expected.access_token)
        if not isinstance(told, dict) or told.get("sub") != claims["sub"]:
            raise SignInRefused("identity_refused", "the user information is about somebody else")
        return told | claims

    async def _redeem(self, metadata: Metadata, code: str, attempt: Attempt) -> dict[str, object]:
        tokens = await self._http.fetch_token(
            metadata.token_endpoint,
            grant_type="authorization_code",
            code=code,
            code_verifier=attempt.verifier,
            auth=self._http.client_auth(_authentication(self.client, metadata)),
        )
        return dict(tokens)

    async def _discover(self) -> Metadata:
        if self._metadata is not None and time.monotonic() - self._discovered < DISCOVERED_FOR_S:
            return self._metadata
        found = Metadata.model_validate(await self._get(self.client.issuer.rstrip("/") + WELL_KNOWN))
        if found.issuer != self.client.issuer:
            raise SignInRefused("provider_wrong", f"it calls itself {found.issuer!r}, and not login_issuer")
        if unsafe := [address for address in found.addresses() if not is_safe_address(address)]:
            raise SignInRefused("provider_wrong", f"{unsafe[0]!r} is no https address")
        self._metadata, self._discovered = found, time.monotonic()
        return found

    async def _get(self, url: str, access_token: str | None = None) -> object:
        headers = {"accept": "application/json"}
        if access_token is not None:
            headers["authorization"] = f"Bearer {access_token}"
        answer = await self._http.request("GET", url, headers=headers, withhold_token=True)
        answer.raise_for_status()
        found: object = answer.json()
        return found

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """What goes wrong on the way, as SignInRefused."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                yield
        except (TimeoutError, httpx2.RequestError) as error:
            raise SignInRefused("provider_away", f"{type(error).__name__}: {error}") from error
        except httpx2.HTTPStatusError as error:
            away = error.response.status_code >= 500
            raise SignInRefused("provider_away" if away else "provider_refused", str(error)) from error
        except OAuthError as error:
            raise SignInRefused("provider_refused", f"{error.error!r}: {error.description!r}") from error
        except (ValidationError, ValueError, httpx2.InvalidURL) as error:
            raise SignInRefused("provider_wrong", f"its answer is not what it must be: {error}") from error


def _authentication(client: Client, metadata: Metadata) -> str:
    """How to show who asks: as the provider takes it."""
    if client.secret is None:
        return "none"
    for method in ("client_secret_basic", "client_secret_post"):
        if method in metadata.token_endpoint_auth_methods_supported:
            return method
    raise SignInRefused("provider_wrong", "the provider takes no client secret")
