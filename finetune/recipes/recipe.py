"""A recipe: one YAML file that says what is trained, from what, on which rows and how."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from common.chat_template import load_template
from finetune.files.hashes import file_hash
from finetune.files.unreadable import HUB_ID, unreadable


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


METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "pretrain": {"learning_rate": 2e-3, "schedule": "linear"},
    "full": {"learning_rate": 2e-5, "schedule": "cosine"},
    "lora": {"learning_rate": 2e-4, "schedule": "linear"},
    "qlora": {"learning_rate": 2e-4, "schedule": "linear", "max_grad_norm": 0.3, "quantize": "nf4"},
    "dpo": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1},
}
"""What a recipe need not say. Preference training bears a fortieth of LoRA's usual learning rate."""


class Recipe(Part):
    """Everything that decides what comes out of a training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The model's name in the checkpoint and, unless told otherwise, in the gateway."""
    method: Literal["pretrain", "full", "lora", "qlora", "dpo"]
    """See the table above."""
    base: str | None = None
    """Checkpoint to start from (all but pretrain): a directory, or a hub id that is in the local cache."""
    quantize: Literal["nf4"] | None = None
    """4-bit weights below the adapter: qlora has them always, dpo when told."""
    architecture: Architecture | None = None
    """What to make from nothing (pretrain)."""
    data: tuple[Source, ...] = ()
    """Dolly rows; for dpo, rows with `chosen` and `rejected`."""
    replay: tuple[Source, ...] = ()
    """Rows that the base already knows, mixed in so that it does not forget them."""
    text: tuple[Path, ...] = ()
    """Plain text files; every token of them is learnt."""
    template: str = "dolly"
    """A name from common/templates."""
    new_tokens: tuple[str, ...] = ()
    """Special tokens to add. Their input and output rows are trained, whatever the method; the checkpoint
    must be merged before it is served. None is needed: the end token that the base has can be learnt."""
    end_token: str | None = None
    """The token that ends an answer, where it is not the tokenizer's own end token."""
    licence: str | None = None
    """Licence of the result; the base's when left out."""
    max_length: int = Field(default=512, ge=8)
    """Tokens. A longer row is never cut at its answer."""
    over_length: Literal["drop", "window", "error"] = "drop"
    """window: the oldest history goes first, then what is far from the answer in the context."""
    epochs: int = Field(default=3, ge=1)
    """Times that every row is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps after which training ends, in place of `epochs`."""
    learning_rate: float = Field(gt=0)
    """AdamW's, at its highest."""
    schedule: Literal["linear", "cosine", "constant_with_warmup"]
    """How the learning rate falls after the warm-up: to nothing, or not at all."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Part of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this."""
    batch_size: int = Field(default=16, ge=1)
    """Sequences in one pass on one device."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Passes to an optimiser step."""
    packing: bool = False
    """Several short rows in one sequence of max_length. Refused where the model lets them see each other."""
    gradient_checkpointing: bool = False
    """Keep one layer's activations and compute the others again: much less memory, about a third slower."""
    lora: Lora = Lora()
    """The adapter of lora, qlora and dpo; see below."""
    dpo: Dpo = Dpo()
    """Preference training; see below."""
    validation: float | Source | None = None
    """Part of the rows to hold out, or a file of rows. With it the best checkpoint is kept, not the last."""
    early_stopping: int | None = Field(default=None, ge=1)
    """End after this many evaluations without a better validation loss."""
    checkpoint_every: int | Literal["epoch", "never"] = "epoch"
    """Steps between two states on disk, from which a killed run goes on; validation runs as often."""
    smoke_test: bool = True
    """Before the run, see a copy of the model learn 20 rows by heart and stop after each."""
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    """Training curves: tensorboard writes files beside the output, wandb needs an account."""
    seed: int = 42
    """Of everything that is drawn: order, shares, fresh weights, dropout."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of the saved weights."""

    @model_validator(mode="before")
    @classmethod
    def _fill_by_method(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {**METHOD_DEFAULTS.get(str(values.get("method")), {}), **values}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "pretrain":
            if self.base or not self.architecture:
                raise ValueError("method pretrain needs `architecture` and takes no `base`")
            if self.licence is None:
                raise ValueError("method pretrain needs `licence`")
            if "max_length" in self.model_fields_set and self.max_length > self.architecture.context:
                raise ValueError("max_length is more than `architecture.context`")
            if self.new_tokens or self.end_token:
                raise ValueError("method pretrain makes its own tokenizer and takes no `new_tokens`")
        elif not self.base or self.architecture:
            raise ValueError(f"method {self.method} needs `base` and takes no `architecture`")
        if not self.data and not self.text:
            raise ValueError("nothing to learn: give `data` or `text`")
        return self

    @model_validator(mode="after")
    def _method_allows(self) -> Self:
        if self.quantize and self.method not in ("qlora", "dpo"):
            raise ValueError(f"method {self.method} takes no `quantize`; 4-bit weights need method qlora")
        if self.method == "qlora" and not self.quantize:
            raise ValueError("method qlora trains on 4-bit weights; without them the method is lora")
        if self.method == "dpo" and (self.text or self.replay or self.packing or self.new_tokens):
            raise ValueError("method dpo takes pairs in `data`: no `text`, `replay`, `packing`, `new_tokens`")
        if self.early_stopping and self.validation is None:
            raise ValueError("early_stopping needs `validation`")
        if isinstance(self.validation, float) and not 0 < self.validation < 1:
            raise ValueError("validation as a part of the rows lies between 0 and 1")
        if self.validation is not None and self.checkpoint_every == "never":
            raise ValueError("validation needs checkpoints: the best one is what is kept")
        if isinstance(self.checkpoint_every, int) and self.checkpoint_every < 1:
            raise ValueError("checkpoint_every is a number of steps, `epoch` or `never`")
        return self

    @property
    def has_adapter(self) -> bool:
        """Whether what comes out is an adapter, to be merged."""
        return self.method in ("lora", "qlora", "dpo")

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every file of rows, the validation file included."""
        held_out = (self.validation,) if isinstance(self.validation, Source) else ()
        return (*self.data, *self.replay, *held_out)

    def card_dict(self) -> dict[str, Any]:
        """The recipe for `kodolly.json`; paths shortened to file names tell nothing of a machine."""
        shown = self.model_dump(mode="json", exclude_none=True)
        for key in ("data", "replay"):
            shown[key] = [{**source, "path": Path(source["path"]).name} for source in shown[key]]
        shown["text"] = [Path(path).name for path in shown["text"]]
        if isinstance(self.validation, Source):
            shown["validation"]["path"] = self.validation.path.name
        if self.base and Path(self.base).is_absolute():
            shown["base"] = Path(self.base).name
        return shown


HUB_ADDRESS = re.compile(rf"(?:huggingface\.co|hf\.co)/+({HUB_ID.pattern})")


def fingerprint(recipe: Recipe) -> str:
    """16 hex digits that change with anything in the recipe, its template or its files' content."""
    files = [*recipe.text, *(source.path for source in recipe.sources)]
    parts = [
        json.dumps(recipe.card_dict(), sort_keys=True, ensure_ascii=False),
        load_template(recipe.template),
        *(file_hash(file) for file in files),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def check_files(recipe: Recipe) -> None:
    """Raises UserError where a file of the recipe is not there; cheap enough to ask before torch loads."""
    for path in (*(source.path for source in recipe.sources), *recipe.text):
        try:
            path.open("rb").close()
        except OSError as error:
            raise unreadable(path, error) from error
