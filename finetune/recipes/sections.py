"""Sections of a recipe: files of rows, the architecture of a new model, the adapter, the settings of a
loss."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(Section):
    """A file of Dolly rows."""

    path: Path
    """A JSON Lines file, relative to the recipe's file."""
    split: str | None = None
    """Use only rows with this `meta.split`."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of the rows to use, drawn once by the recipe's seed."""


class Architecture(Section):
    """A new GPT-NeoX (Polyglot's architecture) with a byte-level BPE tokenizer of its own."""

    layers: int = Field(ge=1)
    """Transformer blocks."""
    width: int = Field(ge=8)
    """Hidden size; the feed-forward layers are four times as wide."""
    heads: int = Field(ge=1)
    """Attention heads; `width` must be an even multiple of them."""
    vocabulary: int = Field(ge=300)
    """Most tokens of the tokenizer, of which 256 bytes and two special tokens are fixed."""
    context: int = Field(default=2048, ge=16)
    """Context length in tokens."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError("width must be an even multiple of heads")
        return self


class Lora(Section):
    """The low-rank adapter."""

    rank: int = Field(default=16, ge=1)
    """Inner dimension of the two matrices that are added to each layer."""
    alpha: int = Field(default=32, ge=1)
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapter's inputs in training."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (rsLoRA, Kalajdzievski 2023), which helps high ranks."""
    dora: bool = False
    """Train each output's magnitude apart from its direction (DoRA, Liu et al. 2024): closer to full tuning
    at low ranks, and slower. The merge writes it into the weights."""
    plus: float | None = Field(default=None, ge=1)
    """Learning rate of the output-side matrices (B) as a multiple of the recipe's (LoRA+, Hayou et al. 2024,
    who use 16)."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Layers that get an adapter. PEFT's default for GPT-NeoX, attention alone, learns too little."""


DpoLoss = Literal[
    "sigmoid", "ipo", "robust", "hinge", "exo_pair", "apo_zero", "apo_down", "sigmoid_norm", "sft"
]


class Dpo(Section):
    """Direct preference optimisation (Rafailov et al. 2023) by TRL's DPOTrainer. The reference is the base
    with the adapter switched off, so that no second model is needed."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the tuned model is kept close to the reference."""
    max_prompt_length: int | None = Field(default=None, ge=8)
    """Most tokens of a prompt; left out, max_length alone limits it."""
    loss_type: tuple[DpoLoss, ...] = ("sigmoid",)
    """One loss, or several that are added, by TRL's names. `[sigmoid, sft]` also trains on the better answer
    itself, so that its likelihood does not fall; `robust` is for votes of which some are wrong."""
    loss_weights: tuple[float, ...] | None = None
    """A weight for each of loss_type; left out, 1 each. A few tenths are usual for `sft`."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the pairs assumed to be labelled the wrong way round; for sigmoid, robust and exo_pair."""
    ld_alpha: float | None = Field(default=None, ge=0, le=1)
    """Weight of tokens beyond the shorter answer's length, 0 to 1. Below 1 it keeps answers from growing
    longer (LD-DPO, Liu et al. 2024)."""

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
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024) by TRL's KTOTrainer, on single answers that are
    good or bad: `meta.label` of a row is true or false."""

    beta: float = Field(default=0.1, gt=0)
    """How strongly the tuned model is kept close to the reference, the base with the adapter switched off."""
    loss_type: Literal["kto", "apo_zero_unpaired"] = "kto"
    """apo_zero_unpaired saves a forward pass, as it does not estimate the divergence from the reference."""
    desirable_weight: float | None = Field(default=None, gt=0)
    """Weight of good answers in the loss. Left out, both weights are chosen so that good and bad answers have
    the same total weight; the pre-flight shows them."""
    undesirable_weight: float | None = Field(default=None, gt=0)
    """Weight of bad answers in the loss."""


class Orpo(Section):
    """Odds ratio preference optimisation (Hong et al. 2024): one loss trains on the better answer and raises
    its odds over the worse one's, without a reference."""

    beta: float = Field(default=0.1, gt=0)
    """Weight of the odds ratio beside the loss on the better answer (lambda in the paper)."""


class Simpo(Section):
    """Simple preference optimisation (Meng et al. 2024): mean log probabilities, without a reference."""

    beta: float = Field(default=2.0, gt=0)
    """Scale of the difference between the two answers' mean log probabilities."""
    gamma: float = Field(default=1.0, ge=0)
    """Margin by which the better answer has to lead, after scaling."""
    sft: float = Field(default=0.0, ge=0)
    """Weight of an added loss on the better answer (CPO-SimPO)."""


class Embed(Section):
    """A model of vectors, by sentence-transformers: each question is to be nearer to its passage than to all
    other passages of its batch and to its own `negatives` (InfoNCE, van den Oord et al. 2018). No text comes
    twice in a batch, so that no passage is held against a question that it answers."""

    temperature: float = Field(default=0.05, gt=0)
    """Cosines are divided by this: the lower, the more the nearest wrong passages count."""
    query_prompt: str | None = None
    """What is put before every question; left out, the base's own prompt for queries."""
    passage_prompt: str | None = None
    """What is put before every passage; left out, the base's own prompt for documents."""
    mini_batch: int | None = Field(default=None, ge=1)
    """Texts in memory at once, for batches of any size (GradCache, Gao et al. 2021), about a fifth slower.
    Left out, a whole batch is."""
