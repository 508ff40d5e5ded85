"""Settings of the gateway."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from common.address import Address
from common.settings import PartSettings


class ExternalProvider(BaseModel):
    """An OpenAI-compatible service outside, such as ChatGPT. Its models are offered when its key is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")
    base_url: str = Field(pattern=r"^https?://")
    """With the version path, e.g. https://api.openai.com/v1."""
    key_env: str
    """Environment variable that holds the key."""
    models: tuple[str, ...] = Field(min_length=1)


class StaticModel(BaseModel):
    """A model at an OpenAI-compatible server that no controller knows; `NAME=URL` for short."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    """As the server itself calls it."""
    url: Address
    """http://host:port."""
    key_env: str | None = None
    """Environment variable that holds the server's key; None when it asks for none."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, str):
            name, equals, url = value.rpartition("=")
            if not equals:
                raise ValueError("it must look like my-model=http://10.0.0.7:8001")
            value = {"name": name, "url": url}
        if isinstance(value, dict) and isinstance(value.get("url"), str):
            value = value | {"url": value["url"].rstrip("/").removesuffix("/v1")}
        return value


OPENAI = ExternalProvider(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env="OPENAI_API_KEY",
    models=("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"),
)


class GatewaySettings(PartSettings):
    """The gateway: OpenAI-compatible API in front of all workers."""

    section: ClassVar[str] = "gateway"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_GATEWAY_")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    processes: int = Field(default=1, ge=1, le=256)
    """Processes that share the port."""
    controllers: tuple[str, ...] = ("http://127.0.0.1:21001",)
    """Controllers to follow; one reachable is enough. None by default when `static` is set."""
    static: tuple[StaticModel, ...] = ()
    """Models at servers that no controller knows, as `NAME=http://host:port`."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """Other names for models: name -> the model's own name. `kodolly alias` adds to them at run time."""
    join_token: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("join_token", "KODOLLY_JOIN_TOKEN")
    )
    """Token that the controllers ask for."""
    api_keys: tuple[SecretStr, ...] = Field(
        default=(), validation_alias=AliasChoices("api_keys", "KODOLLY_API_KEYS")
    )
    """Keys without limits, as a JSON list. With none, here or by `kodolly keys`, no key is asked for."""
    admin_token: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("admin_token", "KODOLLY_ADMIN_TOKEN")
    )
    """Token that may manage keys over HTTP, besides admin keys; empty admits nobody."""
    external: tuple[ExternalProvider, ...] = (OPENAI,)
    """Providers outside, such as ChatGPT."""
    openai_base_url: str | None = Field(
        default=None, validation_alias=AliasChoices("openai_base_url", "OPENAI_BASE_URL")
    )
    """Replaces the base URL of the provider named `openai`."""
    state_dir: Path = Field(
        default=Path(".kodolly"), validation_alias=AliasChoices("state_dir", "KODOLLY_STATE_DIR")
    )
    """Directory of the database and of the last snapshot of workers."""
    database_url: str | None = None
    """SQLAlchemy URL of the store; None is SQLite in the state directory."""
    access_log: bool = True
    """One log line per request; with `false` only for failed ones."""
    otlp_endpoint: str | None = Field(
        default=None, validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """Base URL of an OpenTelemetry collector (OTLP over HTTP) for traces; None sends none."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Largest request body, in bytes."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser, e.g. https://chat.example.kr; `*` is all."""
    connect_timeout_s: float = 3.0
    """Longest time to reach a worker or provider, in seconds."""
    worker_capacity: int = Field(default=0, ge=0)
    """Requests a worker runs at once, if it does not say; more wait here. 0 lets the engine queue them."""
    queue_limit: int = Field(default=1000, ge=0)
    """Requests that may wait for one model; more are refused with 503 and Retry-After."""
    queue_timeout_s: float = 30.0
    """Longest wait for a free worker, in seconds."""
    resume_streams: bool = False
    """Let another worker go on with a chat stream that was cut, instead of ending it with an error."""
    body_timeout_s: float = 60.0
    """Longest time for a request's body to arrive, in seconds."""
    first_event_timeout_s: float = 120.0
    """Longest wait for the first token (queue and prefill included), in seconds."""
    idle_timeout_s: float = 60.0
    """Longest silence between two parts of an answer, in seconds."""
    total_timeout_s: float = 1800.0
    """Longest time for one answer, in seconds."""
    drain_timeout_s: float = Field(default=10.0, ge=0)
    """Longest wait for running answers when the gateway is stopped, in seconds."""

    @model_validator(mode="before")
    @classmethod
    def _static_needs_no_controller(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {"controllers": ()} | values if values.get("static") else values

    def store_url(self) -> str:
        """The SQLAlchemy URL of the store."""
        return self.database_url or f"sqlite:///{self.state_dir / 'kodolly.db'}"

    def providers(self) -> tuple[ExternalProvider, ...]:
        """The external providers, with OPENAI_BASE_URL applied."""
        if self.openai_base_url is None:
            return self.external
        return tuple(
            provider.model_copy(update={"base_url": self.openai_base_url.rstrip("/")})
            if provider.name == "openai"
            else provider
            for provider in self.external
        )


def provider_keys(
    settings: GatewaySettings, environ: Mapping[str, str] | None = None
) -> dict[str, SecretStr]:
    """Provider name -> key, for the providers whose key is in the environment or in ./.env."""
    found = _environment(environ)
    keys = {provider.name: found.get(provider.key_env) for provider in settings.providers()}
    return {name: SecretStr(key.strip()) for name, key in keys.items() if key and key.strip()}


def static_key(model: StaticModel, environ: Mapping[str, str] | None = None) -> SecretStr:
    """The key of a static model's server, from the environment or ./.env; empty when there is none."""
    found = _environment(environ).get(model.key_env) if model.key_env else None
    return SecretStr((found or "").strip())


def _environment(environ: Mapping[str, str] | None) -> dict[str, str | None]:
    return dict(dotenv_values(".env")) | dict(os.environ if environ is None else environ)
