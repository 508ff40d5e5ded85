"""Settings of the web UI: section `webui` of kodolly.yaml, environment `KODOLLY_WEBUI_*`."""

from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.settings import PartSettings


class WebuiSettings(PartSettings):
    """Where the page listens and which gateway it talks to."""

    section: ClassVar[str] = "webui"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_WEBUI_")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=7860, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    gateway_url: str = Field(default="http://127.0.0.1:8000", pattern=r"^https?://[^\s/]+/?$")
    """The gateway, without a path. It is also the address in the snippets of the models page."""
    api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("api_key", "KODOLLY_API_KEY")
    )
    """The gateway's client key, when it asks for one. Never sent to the browser."""
