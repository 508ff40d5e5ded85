"""`kodolly.json`: what a checkpoint directory says about itself. finetune writes it, the worker reads it."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import UserError

CARD_FILE = "kodolly.json"


class DataSource(BaseModel):
    """One file of training rows."""

    path: str
    sha256: str
    rows: int


class MergeSource(BaseModel):
    """One of the models that were merged into this one."""

    name: str
    sha256: str
    """Content hash of its weights."""
    licence: str | None = None


class ExportCard(BaseModel):
    """From what an exported checkpoint was made."""

    format: str
    """`fp8` or `gguf`."""
    checkpoint: str
    """The source's id, as its answers named it."""
    sha256: str
    """Content hash of the source's weights."""


class OwnTemplateCard(BaseModel):
    """How a model's own chat template was rendered in training."""

    template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """What a server gives the template unless a request says otherwise."""
    plain_kwargs: dict[str, Any] = Field(default_factory=dict)
    """What it was given for rows without reasoning: the switch that keeps a model from thinking."""
    thinking_kwargs: dict[str, Any] = Field(default_factory=dict)
    """And for rows with it."""
    closes_thoughts: bool = False
    """Whether rows without reasoning closed at once the thought that a prompt opened."""
    date: str | None = None
    """What a template that asks for today's date was told (ISO 8601)."""
    stop_tokens: list[str] = Field(default_factory=list)
    """Tokens at which answers end."""


class EmbeddingCard(BaseModel):
    """How a model of vectors is asked."""

    query_prompt: str = ""
    """What stood before every question in training."""
    passage_prompt: str = ""
    """What stood before every passage."""
    pooling: Literal["mean", "cls", "lasttoken"]
    """How the vectors of a text's tokens become one, by sentence-transformers' names; it has length 1."""
    dimensions: int


class CheckpointCard(BaseModel):
    """Contents of `kodolly.json` (docs/design.md, "Checkpoint contract")."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    name: str
    kind: Literal["chat", "embedding"] = "chat"
    base_model: str | None = None
    """Name or path of the model this was tuned from; None when trained from scratch."""
    base_revision: str | None = None
    """Content hash of the base's weights, or the hub revision."""
    method: Literal["pretrain", "full", "lora", "qlora", "dpo", "kto", "orpo", "simpo", "embed", "merge"]
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: list[DataSource] = Field(default_factory=list)
    sources: list[MergeSource] = Field(default_factory=list)
    """Method merge: what was merged, the base included."""
    licence: str
    template: str
    """Empty for a model of vectors, as `template_hash`."""
    template_hash: str
    own_template: OwnTemplateCard | None = None
    """Where `template` is `own`: the model's own, or a file's."""
    embedding: EmbeddingCard | None = None
    """For kind `embedding`."""
    context_length: int
    dtype: str
    parameters: int
    metrics: dict[str, float] = Field(default_factory=dict)
    export: ExportCard | None = None
    """Where the weights were rounded or written in another format: from what."""
    created: int
    """Unix seconds."""


def read_card(directory: Path) -> CheckpointCard | None:
    """The card of `directory`, or None when it is not one of ours.

    Raises UserError when the file is there but broken.
    """
    path = directory / CARD_FILE
    try:
        return CheckpointCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, ValidationError) as error:
        raise UserError(
            f"{path} is not a valid checkpoint card: {error}", hint="Merge the checkpoint again."
        ) from error
