"""Settings of the web UI: section `webui` of kodolly.yaml, environment `KODOLLY_WEBUI_*`."""

from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from common.own_hosts import HostNames, is_loopback
from common.settings import PartSettings


class WebuiSettings(PartSettings):
    """Where the page listens and which gateway it talks to."""

    section: ClassVar[str] = "webui"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_WEBUI_")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=7860, ge=1, le=65535)
    """Port to listen on."""
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
    and as files; figures are shown in any case. None: only where `host` is loopback."""

    @property
    def shows_feedback(self) -> bool:
        """`show_feedback`, decided."""
        return is_loopback(self.host) if self.show_feedback is None else self.show_feedback

    def store_url(self) -> str:
        """The SQLAlchemy URL of the page's database."""
        return self.database_url or f"sqlite:///{self.state_dir / 'webui.db'}"

    @field_validator("gateway_url", "public_gateway_url")
    @classmethod
    def _address_only(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise ValueError("it must look like http://host:port, without a path")
        return url.rstrip("/")
