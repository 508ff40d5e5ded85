"""A question to a model, as the gateway takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from common.feedback import Message, Sampling


@dataclass(frozen=True)
class ChatRequest:
    """One question to one model."""

    model: str
    messages: Sequence[Message]
    sampling: Sampling
    external: bool = False
    """True for a provider's model: 1.0, the API's default, is not sent, as some models refuse the field."""
    begun: str = ""
    """What the answer begins with: only workers of our own go on from there."""
    images: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """data: URLs by the place of the message that they go along with."""
    user: str | None = None
    """Who asks. Providers are not told: it is none of their business, and some refuse the field. The gateway
    keeps the conversation under this id, so that it goes when all of this rater's does."""

    def body(self) -> dict[str, Any]:
        """The request as the gateway takes it."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [self._message(at, message) for at, message in enumerate(self.messages)],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": self.sampling.max_tokens,
        }
        if self.begun:
            body["messages"].append({"role": "assistant", "content": self.begun})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        for name in ("temperature", "top_p"):
            value = getattr(self.sampling, name)
            if not (self.external and value == 1.0):
                body[name] = value
        if self.user and not self.external:
            body["user"] = self.user
        return body

    def headers(self) -> dict[str, str]:
        """What the gateway alone is told."""
        return {"x-rater-id": quote(self.user)} if self.user else {}

    def _message(self, at: int, message: Message) -> dict[str, Any]:
        if not (images := self.images.get(at)):
            return message.model_dump()
        parts: list[dict[str, Any]] = [{"type": "text", "text": message.content}]
        parts += [{"type": "image_url", "image_url": {"url": url}} for url in images]
        return {"role": message.role, "content": parts}
