"""What one gateway process owns while it runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from server.upstreams.controllers import Controllers
from server.upstreams.directory import Directory

if TYPE_CHECKING:
    import httpx2

    from server.accounts.accounts import Accounts
    from server.inference.relay import Relay
    from server.store.conversations import ConversationStore
    from server.store.feedback import FeedbackStore
    from server.store.turns import ImprovementTurns
    from server.telemetry.observability import Observability


@dataclass(frozen=True, slots=True)
class Gateway:
    """Built by the app's lifespan; everything in it is closed there too."""

    directory: Directory
    http: "httpx2.AsyncClient"
    """For the gateway's own questions to workers; inference goes through the relay."""
    controllers: Controllers
    feedback: "FeedbackStore"
    turns: "ImprovementTurns"
    conversations: "ConversationStore"
    """Also where none are kept any more: there may be earlier ones."""
    relay: "Relay"
    accounts: "Accounts"
    admin_token: SecretStr
    """"" admits nobody."""
    observability: "Observability"
    started: float
    """Monotonic seconds."""
