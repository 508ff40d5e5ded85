"""Sections of a recipe: files of rows, a model from nothing, the adapter, and what a loss takes."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """What every section of a recipe has in common: unknown keys are an error, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """A file of Dolly rows."""

    path: Path
    """JSON Lines; relative to the recipe's file."""
    split: str | None = None
    """Only rows whose `meta.split` is this."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the rows to use, drawn once by the recipe's seed."""


class Architecture(Section):
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


class Lora(Section):
    """The low-rank adapter."""

    rank: int = Field(default=16, ge=1)
    """Width of the two small matrices beside each layer."""
    alpha: int = Field(default=32, ge=1)
    """What the adapter adds is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapter's inputs that is left out in training."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (rsLoRA, Kalajdzievski 2023): high ranks learn more."""
    dora: bool = False
    """Train each output's length apart from its direction (DoRA, Liu et al. 2024): nearer to full tuning at
    low ranks, and slower. The merge writes it into the weights."""
    plus: float | None = Field(default=None, ge=1)
    """The learning rate of the output-side matrices as a multiple of the recipe's (LoRA+, Hayou et al. 2024;
    16 there)."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get an adapter. PEFT's own default for GPT-NeoX, attention alone, learns too little."""


DpoLoss = Literal[
    "sigmoid", "ipo", "robust", "hinge", "exo_pair", "apo_zero", "apo_down", "sigmoid_norm", "sft"
]


class Dpo(Section):
    """Direct preference optimisation (Rafailov et al. 2023) by TRL's DPOTrainer; the reference is the adapter
    switched off, so it costs no second model."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the tuned model is held to the reference."""
    max_prompt_length: int | None = Field(default=None, ge=8)
    """Tokens of a prompt, where that is less than max_length allows."""
    loss_type: tuple[DpoLoss, ...] = ("sigmoid",)
    """One loss or several that are added up, as TRL calls them. `[sigmoid, sft]` also teaches the better
    answer itself, so that its likelihood does not fall; `robust` is for votes of which some are wrong."""
    loss_weights: tuple[float, ...] | None = None
    """One for each of loss_type; 1 each when left out. A few tenths are usual for `sft`."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the pairs that are taken to be the wrong way round; for sigmoid, robust and exo_pair."""
    ld_alpha: float | None = Field(default=None, ge=0, le=1)
    """What tokens beyond the shorter answer's length count: 1 in full, 0 nothing. Against answers that
    only grow longer (LD-DPO, Liu et al. 2024)."""

    @field_validator("loss_type", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weights_and_smoothing_fit_the_losses(self) -> Self:
        if not self.loss_type or len(set(self.loss_type)) < len(self.loss_type):
            raise ValueError("loss_type names one loss or several, each of them once")
        if set(self.loss_type) == {"sft"}:
            raise ValueError("loss_type sft alone has no use for the worse answers; method lora does that")
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_type):
            raise ValueError("loss_weights has one weight for each of loss_type")
        smoothed = {"sigmoid", "robust", "exo_pair"} & set(self.loss_type)
        if self.label_smoothing and not smoothed:
            raise ValueError("label_smoothing is for the losses sigmoid, robust and exo_pair")
        if "exo_pair" in self.loss_type and not self.label_smoothing:
            raise ValueError("loss_type exo_pair needs label_smoothing above 0, such as 0.001")
        return self


class Kto(Section):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024) by TRL's KTOTrainer: answers that are good or
    bad, each by itself. Rows say which by `meta.label`, true or false."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the tuned model is held to the reference, which is the adapter switched off."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    """apo_zero_unpaired does without the estimate of the distance to the reference: a pass less."""
    desirable_weight: float | None = Field(default=None, gt=0)
    """Of good answers in the loss. Left out, both weights are chosen so that good and bad answers count
    the same in sum; the pre-flight shows them."""
    undesirable_weight: float | None = Field(default=None, gt=0)
    """Of bad answers."""


class Orpo(Section):
    """Odds ratio preference optimisation (Hong et al. 2024): the better answer is learnt and gains on the
    worse one in one loss, without a reference."""

    beta: float = Field(default=0.1, gt=0)
    """Weight of the odds ratio beside the loss of the better answer (lambda in the paper)."""


class Simpo(Section):
    """Simple preference optimisation (Meng et al. 2024): mean log probabilities, without a reference."""

    beta: float = Field(default=2.0, gt=0)
    """Scale of the difference between the two answers."""
    gamma: float = Field(default=1.0, ge=0)
    """Margin by which the better answer has to lead, after scaling."""
    sft: float = Field(default=0.0, ge=0)
    """Weight of the loss of the better answer, which is added (CPO-SimPO)."""
