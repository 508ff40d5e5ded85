"""Settings of a worker."""

import re
import shlex
from ipaddress import IPv6Address
from typing import Annotated, ClassVar

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from common.address import Address
from common.errors import UserError
from common.settings import PartSettings


def _with_brackets(url: object) -> object:
    """`url` with brackets around a bare IPv6 address, whose port follows the last colon.

    Kubernetes puts `http://$(POD_IP):21002` together without brackets.
    """
    found = re.fullmatch(r"(https?://)([0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*):(\d+)(/?)", str(url))
    if found is None:
        return url
    try:
        return f"{found[1]}[{IPv6Address(found[2])}]:{found[3]}{found[4]}"
    except ValueError:
        return url


def _split_flags(given: object) -> object:
    """A string is split as a shell would: that is how an environment variable holds several flags."""
    return tuple(shlex.split(given)) if isinstance(given, str) else given


EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}
"""Wildcard addresses, and the loopback address that reaches who listens on them. Where the kernel knows
IPv6, a container may still have no IPv6 address, not even ::1.
"""


class WorkerSettings(PartSettings):
    """A worker: one vLLM engine under a supervisor."""

    section: ClassVar[str] = "worker"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_WORKER_")

    host: str = "127.0.0.1"
    """Address the engine listens on."""
    port: int = Field(default=21002, ge=1, le=65535)
    """Port the engine listens on."""
    advertise_url: Annotated[Address | None, BeforeValidator(_with_brackets)] = None
    """URL under which gateways reach the engine; None is http://host:port."""
    controllers: tuple[Address, ...] = Field(default=("http://127.0.0.1:21001",), min_length=1)
    """Controllers to register with, all of them."""
    join_token: SecretStr = Field(
        min_length=1, validation_alias=AliasChoices("join_token", "KODOLLY_JOIN_TOKEN")
    )
    """Token that the controllers ask for (KODOLLY_JOIN_TOKEN)."""
    engine_flags: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_flags)] = ()
    """Flags of vLLM, as a list or as one string; those after `--` on the command line win."""
    cpu_cores: str | None = Field(default=None, pattern=r"^\d+([-,|]\d+)*$")
    """CPU engine: cores that vLLM binds its threads to, e.g. 0-3; 0-3|4-7 for two processes."""
    cpu_threads: int | None = Field(default=None, ge=1)
    """CPU engine: number of threads when no cores are named; None is one a core."""
    cpu_kv_cache_gib: int = Field(default=1, ge=1)
    """CPU engine: size of the key-value cache, in GiB."""
    drain_timeout_s: float = Field(default=30.0, ge=0)
    """Longest wait for running requests before the engine is stopped, in seconds."""

    def url(self) -> str:
        """The engine's URL as gateways see it. Raises UserError when nothing says which that is."""
        if self.advertise_url:
            return self.advertise_url
        if self.host in EVERY_ADDRESS:
            raise UserError(
                f"A worker that listens on {self.host} must say under which URL gateways reach it.",
                hint="Add --advertise-url, e.g. http://10.0.0.7:21002.",
            )
        return self.local_url()

    def advertised(self, engine_url: str) -> str:
        """`url()`, or the address of an engine that runs elsewhere. Raises UserError as `url()` does."""
        if self.advertise_url or engine_url == self.local_url():
            return self.url()
        return engine_url

    def local_url(self) -> str:
        """The engine's URL on this machine."""
        host = EVERY_ADDRESS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
