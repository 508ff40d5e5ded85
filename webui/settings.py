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
        default=None, validation_alias=AliasChoices("api_key", "KODOLLY_API_KEY")
    )
    """The gateway's client key, when it asks for one. Never sent to the browser."""

    login: Literal["none", "key", "header"] = "none"
    """Who may use the pages: everybody who reaches them (`none`), whoever has a key of the gateway, and then
    asks with it (`key`), or whom a proxy in front names (`header`)."""
    login_header: str = Field(default="Remote-User", pattern=r"^[A-Za-z0-9-]+$")
    """With `login: header`, where the proxy names the user."""
    login_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_listed)] = ()
    """With `login: header`, addresses or networks of the proxy; the header is taken from nobody else."""
    login_admins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """With `login: header`, names of administrators. With `key`, an admin key makes one."""

    login_raters: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Who sees the study page alone: with `login: header` names of users, with `key` ids of keys."""

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

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.login == "none" and self.login_raters:
            raise ValueError("login_raters names users: without a login (header, key) everybody is a member")
        if self.login == "header" and not self.login_proxies:
            raise ValueError("login: header needs login_proxies, the addresses of the proxy that sets it")
        if self.login == "key" and not (self.api_key and self.api_key.get_secret_value()):
            raise ValueError("login: key needs api_key (KODOLLY_API_KEY): the page asks with it what runs")
        return self

    @field_validator("gateway_url", "public_gateway_url")
    @classmethod
    def _address_only(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("it must look like http://host:port, without a path")
        return url.rstrip("/")
