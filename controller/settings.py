"""Settings of the controller."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from common.settings import PartSettings

Network = IPv4Network | IPv6Network

PRIVATE_NETWORKS: tuple[Network, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)


class ControllerSettings(PartSettings):
    """The controller: the registry of workers."""

    section: ClassVar[str] = "controller"
    model_config = SettingsConfigDict(env_prefix="KODOLLY_CONTROLLER_")

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=21001, ge=1, le=65535)
    """Port to listen on."""
    join_token: SecretStr = Field(
        min_length=1, validation_alias=AliasChoices("join_token", "KODOLLY_JOIN_TOKEN")
    )
    """Token that workers and gateways must bring (KODOLLY_JOIN_TOKEN)."""
    state_dir: Path = Field(
        default=Path(".kodolly"), validation_alias=AliasChoices("state_dir", "KODOLLY_STATE_DIR")
    )
    """Directory of the aliases."""
    allow_networks: tuple[Network, ...] = PRIVATE_NETWORKS
    """Networks a worker's address may lie in; loopback and private ranges by default."""

    def aliases_path(self) -> Path:
        """Where aliases are kept; controllers of one host have a file each."""
        return self.state_dir / f"aliases-{self.port}.json"
