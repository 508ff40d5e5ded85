"""Settings of the web UI: section `webui` of kodolly.yaml, environment `KODOLLY_WEBUI_*`."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from common.own_hosts import HostNames, is_loopback
from common.safe_addresses import is_safe_address
from common.settings import PartSettings


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class WebuiSettings(PartSettings):
    """Where the page listens and which gateway it talks to."""

    section: ClassVar[str] = "webui"
    guards: ClassVar[tuple[str, ...]] = ("login",)
    model_config = SettingsConfigDict(env_prefix="KODOLLY_WEBUI_")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=7860, ge=1, le=65535)
    """Port to listen on."""
    processes: int = Field(default=1, ge=1, le=64)
    """Processes that share the port."""
    allowed_hosts: HostNames = ()
    """Names besides this machine's under which browsers may ask for the page, e.g. chat.example.kr."""
    gateway_url: str = "http://127.0.0.1:8000"
    """The gateway, without a path."""
    public_gateway_url: str | None = None
    """The gateway as clients reach it, for the snippets of the models page; None is `gateway_url`."""
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("api_key", "KODOLLY_WEBUI_API_KEY", "KODOLLY_API_KEY"),
    )
    """The gateway's client key, when it asks for one. Never sent to the browser."""

    public_url: str | None = None
    """The page as browsers reach it, e.g. https://chat.example.kr; with `login: oidc` the provider leads back
    there."""

    login: Literal["none", "key", "header", "oidc"] = "none"
    """Who may use the pages: everybody who reaches them (`none`), whoever has a key of the gateway, and then
    asks with it (`key`), whom a proxy in front names (`header`), or whom an OpenID Connect provider does
    (`oidc`)."""
    login_header: str = Field(default="Remote-User", pattern=r"^[A-Za-z0-9-]+$")
    """With `login: header`, where the proxy names the user."""
    login_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_listed)] = ()
    """With `login: header`, addresses or networks of the proxy; the header is taken from nobody else."""
    login_issuer: str | None = None
    """With `login: oidc`, the provider's issuer, letter for letter as its discovery document says it."""
    login_client_id: str | None = None
    """With `login: oidc`, what the provider knows this page as."""
    login_client_secret: SecretStr | None = None
    """With `login: oidc`, the client's secret; None is a public client, which shows itself by PKCE alone."""
    login_scopes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = (
        "openid",
        "profile",
        "email",
    )
    """With `login: oidc`, what the provider is asked to tell. Some tell groups only with `groups`."""
    login_claims: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ("groups",)
    """With `login: oidc`, where the provider's word about a user holds what the next three name, e.g.
    `groups`, `email`, `realm_access.roles`. `email` counts where the provider has verified it."""
    login_members: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """With `login: oidc`, values of `login_claims` that let somebody in; `*` is everybody who can sign in at
    the provider."""
    login_admins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Administrators: with `login: header` names of users, with `oidc` values of `login_claims`. With `key`,
    an admin key makes one."""
    login_raters: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Who sees the study page alone: with `login: header` names of users, with `key` ids of keys, with `oidc`
    values of `login_claims`."""

    state_dir: Path = Field(
        default=Path(".kodolly"), validation_alias=AliasChoices("state_dir", "KODOLLY_STATE_DIR")
    )
    """Directory of the page's database: conversations and settings."""
    database_url: str | None = None
    """SQLAlchemy URL of the page's database; None is SQLite in the state directory."""
    answer_without_page_s: float = Field(default=600, ge=0)
    """Seconds that an answer goes on for while no page shows it; what came by then is kept."""

    show_feedback: bool | None = None
    """Whether all who reach the results page may read what people asked, were answered and said, one by one
    and as files; figures are shown in any case. None: only where `host` is loopback and nobody
    logs in, or where everybody asks with a key, which sees its own."""

    @property
    def shows_feedback(self) -> bool:
        """`show_feedback`, decided."""
        if self.show_feedback is not None:
            return self.show_feedback
        return self.login == "key" or (self.login == "none" and is_loopback(self.host))

    def store_url(self) -> str:
        """The SQLAlchemy URL of the page's database."""
        return self.database_url or f"sqlite:///{self.state_dir / 'webui.db'}"

    @property
    def public_names(self) -> tuple[str, ...]:
        """The name in `public_url`."""
        host = urlsplit(self.public_url or "").hostname
        return (host,) if host else ()

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.login == "none" and self.login_raters:
            raise ValueError("login_raters names users: without a login everybody is a member")
        if self.login == "header" and not self.login_proxies:
            raise ValueError("login: header needs login_proxies, the addresses of the proxy that sets it")
        if self.login == "key" and not (self.api_key and self.api_key.get_secret_value()):
            raise ValueError("login: key needs api_key (KODOLLY_API_KEY): the page asks with it what runs")
        if self.login == "oidc":
            _check_oidc(self)
        return self

    @field_validator("gateway_url", "public_gateway_url", "public_url")
    @classmethod
    def _address_only(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("it must look like http://host:port, without a path")
        return url.rstrip("/")


def _check_oidc(settings: WebuiSettings) -> None:
    """Raises ValueError for a login that could not work, or would let in more than somebody has named."""
    for name in ("public_url", "login_issuer", "login_client_id"):
        if not getattr(settings, name):
            raise ValueError(f"login: oidc needs {name}")
    for name in ("public_url", "login_issuer"):
        if not is_safe_address(getattr(settings, name)):
            raise ValueError(f"{name} must be https://, or http:// on this machine")
    if "openid" not in settings.login_scopes:
        raise ValueError("login_scopes needs openid: without it a provider names nobody")
    if not settings.login_members and not settings.login_admins and not settings.login_raters:
        raise ValueError(
            "login: oidc needs login_members, the values of login_claims that let somebody in; * is everybody"
            " who can sign in at the provider, which for a public one is everybody"
        )
