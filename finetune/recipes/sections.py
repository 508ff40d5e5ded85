"""Sections of a recipe: files of rows, a model from nothing, the adapter, and what a loss takes."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """What every section of a recipe has in common: unknown keys are an error, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Part):
    """A file of Dolly rows."""

    path: Path
    """JSON Lines; relative to the recipe's file."""
    split: str | None = None
    """Only rows whose `meta.split` is this."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the rows to use, drawn once by the recipe's seed."""


class Architecture(Part):
    """A GPT-NeoX (Polyglot's architecture) made from nothing, with its own byte-level BPE tokenizer."""

    layers: int = Field(ge=1)
    """Transformer blocks."""
    width: int = Field(ge=8)
    """Hidden size; the feed-forward layers are four times as wide."""
    heads: int = Field(ge=1)
    """Attention heads; `width` is an even multiple of them."""
    vocabulary: int = Field(ge=300)
    """Tokens; 256 bytes and two special ones are always in."""
    context: int = Field(default=2048, ge=16)
    """Longest conversation in tokens."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError("width must be an even multiple of heads")
        return self


class Lora(Part):
    """The low-rank adapter."""

    rank: int = Field(default=16, ge=1)
    """Width of the two small matrices beside each layer."""
    alpha: int = Field(default=32, ge=1)
    """What the adapter adds is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is left out in training."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get an adapter. PEFT's own default for GPT-NeoX, attention alone, learns too little."""


class Dpo(Part):
    """Direct preference optimisation (Rafailov et al. 2023, sigmoid loss); the reference is the adapter
    switched off, so it costs no second model."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the tuned model is held to the reference."""
    max_prompt_length: int | None = Field(default=None, ge=8)
    """Tokens of a prompt, where that is less than max_length allows."""
