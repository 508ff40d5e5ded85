"""Settings of the gateway."""

import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from common.address import Address, well_formed_address
from common.own_hosts import HostNames
from common.prompt_hash import HELD_OUT_SHARE
from common.settings import PartSettings
from common.status import FeedbackText
from server.proxy import NO_PROXY, Proxy, parse_proxy, proxy_for


class ExternalProvider(BaseModel):
    """An OpenAI-compatible service outside, such as ChatGPT. Its models are offered when its key is there."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")
    """What it is called here: `NAME/MODEL` asks it even where a worker has the model's name."""
    base_url: str = Field(pattern=r"^https?://")
    """With the version path, e.g. https://api.openai.com/v1; a query goes with every request."""
    key_env: str
    """Environment variable that holds the key."""
    models: tuple[str, ...] = Field(min_length=1)
    """As the provider calls them."""
    image_models: tuple[str, ...] = ()
    """Those among `models` that take images: the web UI's chat offers to attach some."""
    key_header: Literal["authorization", "api-key"] = "authorization"
    """How the key is sent: `Authorization: Bearer`, or Azure's `api-key`."""
    api_version: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+$")
    """Azure's `api-version`, sent in the query."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers for every request. Keys do not belong here."""
    proxy: str | None = None
    """http(s)://host:port, or `none`; None goes by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    """Longest time to reach it, in seconds."""
    first_event_timeout_s: float = Field(default=600.0, gt=0)
    """Longest wait for the first event: models that reason may think for minutes. In seconds."""
    idle_timeout_s: float = Field(default=600.0, gt=0)
    """Longest silence between two parts of an answer, in seconds."""
    stream_options: bool = True
    """Whether it takes `stream_options`; without, streams are counted by estimate."""
    drop_params: tuple[str, ...] = ()
    """Parameters that it refuses: chat and Responses requests are sent without them."""
    rename_params: dict[str, str] = Field(default_factory=dict)
    """Parameters of chat requests that it calls otherwise, e.g. `{max_tokens: max_completion_tokens}`."""

    @field_validator("api_version", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        """YAML reads 2024-10-21 as a date."""
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        well_formed_address(f"{parts.scheme}://{parts.netloc}")  # raises ValueError
        if not url.isascii() or not url.isprintable() or " " in url or parts.fragment:
            raise ValueError("it must look like https://api.openai.com/v1")
        return url

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
                raise ValueError(f"{name!r} is no header that can be added")
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return headers

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, proxy: str | None) -> str | None:
        if proxy not in (None, NO_PROXY):
            parse_proxy(proxy or "")  # raises ValueError
        return proxy


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWN_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "content-type")
)


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
    def _read(cls, value: object) -> object:
        if isinstance(value, str):
            name, equals, url = value.rpartition("=")
            if not equals:
                raise ValueError("it must look like my-model=http://10.0.0.7:8001")
            value = {"name": name, "url": url}
        if isinstance(value, dict) and isinstance(value.get("url"), str):
            value = value | {"url": value["url"].rstrip("/").removesuffix("/v1")}
        return value


class Price(BaseModel):
    """What a million tokens of a model cost."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    prompt: float = Field(ge=0, allow_inf_nan=False)
    """Tokens of prompts."""
    completion: float = Field(ge=0, allow_inf_nan=False)
    """Tokens of answers."""
    cached: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Tokens of prompts that came out of a cache; None: as other tokens of prompts."""


class ModerationRule(BaseModel):
    """What is looked at by a moderation model, and what is done then. Texts alone are looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str = Field(min_length=1, max_length=200)
    """The moderation model: one of `kodolly train moderation`, or a provider's."""
    looks_at: Literal["input", "output", "both"] = "both"
    """What users ask, what models answer, or both."""
    action: Literal["flag", "block"] = "block"
    """`flag` only counts and logs."""
    models: tuple[str, ...] | None = None
    """Models and aliases that the rule is about; None is all."""
    keys: tuple[str, ...] | None = None
    """Names or ids of the keys that the rule is about; None is all."""
    categories: tuple[str, ...] | None = None
    """Categories and classes that count, e.g. `hate` or `DISCRIMINATION`; None is all."""
    level: Literal["low", "medium", "high"] = "low"
    """From which level on the seven classes of an own model count."""


OPENAI = ExternalProvider(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env="OPENAI_API_KEY",
    models=("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"),
    image_models=("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini"),
)


class GatewaySettings(PartSettings):
    """The gateway: OpenAI-compatible API in front of all workers."""

    section: ClassVar[str] = "gateway"
    guards: ClassVar[tuple[str, ...]] = ("api_keys", "require_keys", "moderation")
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
    feedback_store: FeedbackText = "rated"
    """What is kept of conversations: `none` keeps the figures of feedback and nobody's words; `rated` keeps
    the conversations that clients send along with their feedback; `all` also keeps those that nobody judged,
    for `feedback_days`."""
    feedback_days: float = Field(default=30.0, gt=0)
    """With `feedback_store: all`: days after which a conversation is deleted. What is kept with a judgement
    stays with it."""
    feedback_held_out: float = Field(default=HELD_OUT_SHARE, ge=0, le=0.9)
    """Share of the questions whose feedback is never trained on, so that it can judge the outcome."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Largest request body, in bytes."""
    documents_url: Address | None = None
    """Where the documents service answers, e.g. http://127.0.0.1:21501; None offers no files and stores."""
    documents_token: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("documents_token", "KODOLLY_DOCUMENTS_TOKEN")
    )
    """Token that the documents service asks for."""
    moderation: tuple[ModerationRule, ...] = ()
    """Rules for what users ask and models answer; of those about a request the first holds."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """What a million tokens of a model cost, by its name, for the cost in usage reports."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """Currency of the prices (ISO 4217)."""
    require_keys: bool = False
    """Let nobody in without a key, also while none is known: a lost store then refuses."""
    allowed_hosts: HostNames = ()
    """Names besides this machine's under which clients without a key may ask, e.g. chat.example.kr."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser, e.g. https://chat.example.kr; `*` is all."""
    connect_timeout_s: float = 3.0
    """Longest time to reach a worker, in seconds. Providers have time-outs of their own (`external`)."""
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
    max_answer_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Largest answer that is not a stream, in bytes: 2,048 embeddings of 1,536 numbers have up to 64 MiB."""
    keep_alive_s: float = Field(default=0.0, ge=0)
    """Let a stream that waits for its first event send a sign of life so often, in seconds; 0 sends none. The
    status is then 200 before it is known whether the request succeeds: later failures are error events."""
    engine_fields: tuple[Literal["priority", "kv_transfer_params", "ec_transfer_params", "uuid"], ...] = ()
    """Fields of vLLM's that act on the requests of others and that clients may send to workers all the same;
    the others of these are refused."""
    drain_timeout_s: float = Field(default=10.0, ge=0)
    """Longest wait for running answers when the gateway is stopped, in seconds."""

    @field_validator("aliases")
    @classmethod
    def _aliases_lead_to_models(cls, aliases: dict[str, str]) -> dict[str, str]:
        for name, target in aliases.items():
            if target in aliases:
                raise ValueError(f"{name!r} leads to {target!r}, which is an alias; name the model itself")
        return aliases

    @model_validator(mode="before")
    @classmethod
    def _static_needs_no_controller(cls, values: dict[str, object]) -> dict[str, object]:
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


def provider_proxies(
    settings: GatewaySettings, environ: Mapping[str, str] | None = None
) -> dict[str, Proxy | None]:
    """Provider name -> the proxy to it, from the settings, else the environment or ./.env."""
    found = _environment(environ)
    return {p.name: proxy_for(p.base_url, p.proxy, found) for p in settings.providers()}


def static_key(model: StaticModel, environ: Mapping[str, str] | None = None) -> SecretStr:
    """The key of a static model's server, from the environment or ./.env; empty when there is none."""
    found = _environment(environ).get(model.key_env) if model.key_env else None
    return SecretStr((found or "").strip())


def _environment(environ: Mapping[str, str] | None) -> dict[str, str | None]:
    return dict(dotenv_values(".env")) | dict(os.environ if environ is None else environ)
