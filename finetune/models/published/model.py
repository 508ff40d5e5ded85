"""A published model: what can be known of it before anything is downloaded."""

from dataclasses import dataclass
from typing import Literal

from finetune.models.published.shapes import Shape

Use = Literal["commercial", "research"]


@dataclass(frozen=True)
class PublishedModel:
    """A model on the Hugging Face hub."""

    family: str
    licence: str
    use: Use
    """research: the weights, or data that went into them, may not be used commercially."""
    source: str
    """Where the licence is stated."""
    config: Shape
    """From the model's own `config.json`: memory is computed from it before anything is downloaded."""
    note: str = ""
    """What to know before starting from it."""
    revision: str | None = None
    """A revision with safetensors, proposed by others, where the publisher's `main` has only pickles."""


def model_card(model: str) -> str:
    """The model's page on the hub."""
    return f"https://huggingface.co/{model}"
