"""One message of a conversation, as OpenAI's chat API has it."""

from typing import Any

ChatMessage = dict[str, Any]
"""`role`, `content` and what else engines take. It comes from clients: nothing of it has been checked."""
