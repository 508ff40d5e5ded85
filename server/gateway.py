"""What one gateway process owns while it runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.directory import Directory

if TYPE_CHECKING:
    import aiohttp

    from server.relay import Relay
    from server.store import Store


@dataclass(frozen=True, slots=True)
class Gateway:
    """Built by the app's lifespan; everything in it is closed there too."""

    directory: Directory
    session: "aiohttp.ClientSession"
    store: "Store"
    relay: "Relay"
    api_keys: tuple[str, ...]
    """Keys a client must send one of; () asks for none."""
    started: float
    """Monotonic seconds."""
