"""The keys of a recipe: those that all methods share, and those of several.

What the keys mean for the rest of the program stands with them, so that nobody asks for the method's name.
"""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from finetune.recipes.sections import Dpo, Kto, Lora, Orpo, Section, Simpo, Source

METHOD_DEFAULTS: dict[str, dict[str, object]] = {
    "pretrain": {"learning_rate": 2e-3, "schedule": "linear"},
    "full": {"learning_rate": 2e-5, "schedule": "cosine"},
    "lora": {"learning_rate": 2e-4, "schedule": "linear"},
    "qlora": {"learning_rate": 2e-4, "schedule": "linear", "max_grad_norm": 0.3, "quantize": "nf4"},
    "dpo": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1},
    "kto": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1, "learn": "last"},
    "orpo": {"learning_rate": 8e-6, "schedule": "cosine", "warmup": 0.1},
    "simpo": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1},
}
"""What a recipe need not say. Preference training bears a fortieth of LoRA's usual learning rate."""


class CommonKeys(Section):
    """What every recipe says, whatever its method."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The model's name in the checkpoint and, unless told otherwise, in the gateway."""
    method: str
    """See the table above."""
    data: tuple[Source, ...] = ()
    """Dolly rows; for dpo, orpo and simpo with `chosen` and `rejected`, for kto with `meta.label`."""
    template: str | None = None
    """`own` (the base's chat template), a name from common/templates, or a file FILE.jinja. Left out: the
    base's own where it has one, else dolly."""
    learn: Literal["all", "last"] = "all"
    """Which answers of a conversation are learnt: all, or the last alone."""
    reasoning: Literal["given", "empty"] = "given"
    """For models whose prompts always open a thought. empty: a row without one learns to close it at once and
    to answer; given: such a row is refused. Where a switch keeps the model from thinking, that is used."""
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
    gradient_checkpointing: bool = False
    """Keep one layer's activations and compute the others again: much less memory, about a third slower."""
    lora: Lora = Lora()
    """The adapter of all methods but pretrain and full; see below."""
    dpo: Dpo = Dpo()
    """For method dpo; see below."""
    kto: Kto = Kto()
    """For method kto; see below."""
    orpo: Orpo = Orpo()
    """For method orpo; see below."""
    simpo: Simpo = Simpo()
    """For method simpo; see below."""
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

    needs: ClassVar[str]
    """The key without which the method has nothing to begin with."""
    takes_no: ClassVar[dict[str, str]]
    """Keys of other methods, each with what is said where one has a value."""
    sections: ClassVar[frozenset[str]] = frozenset()
    """Those that mean something to the method. The others may stand in the file, so that `method=...` on
    the command line changes the method alone."""
    sequences_per_row: ClassVar[int] = 1
    """A pair has two, a better and a worse answer to one prompt."""
    forward_passes: ClassVar[int] = 3
    """What a training step costs in forward passes: the backward pass takes as long as two."""
    smoke_test_rates: ClassVar[tuple[float, float] | None] = None
    """Least and greatest learning rate of the smoke test, where it means something: a rate for a real run
    would take more passes than the test has, and above the greatest nothing is learnt."""

    @model_validator(mode="before")
    @classmethod
    def _only_keys_of_the_method(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        method = str(values.get("method"))
        for key in (cls.needs, *cls.takes_no):
            if bool(values.get(key)) != (key == cls.needs):
                raise ValueError(f"method {method} {cls.takes_no.get(key, cls.takes_no[_OTHER[cls.needs]])}")
        kept = {key: value for key, value in values.items() if key not in cls.takes_no}
        return {**METHOD_DEFAULTS.get(method, {}), **kept}

    @model_validator(mode="after")
    def _validated_where_it_is_asked_for(self) -> Self:
        if self.early_stopping and self.validation is None:
            raise ValueError("early_stopping needs `validation`")
        if isinstance(self.validation, float) and not 0 < self.validation < 1:
            raise ValueError("validation as a part of the rows lies between 0 and 1")
        if self.validation is not None and self.checkpoint_every == "never":
            raise ValueError("validation needs checkpoints: the best one is what is kept")
        if isinstance(self.checkpoint_every, int) and self.checkpoint_every < 1:
            raise ValueError("checkpoint_every is a number of steps, `epoch` or `never`")
        return self

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not self.data and not self.texts:
            raise ValueError("nothing to learn: give `data` or `text`")
        return self

    @property
    def adapter(self) -> Lora | None:
        """The adapter that is trained; None where all weights are."""
        return None

    @property
    def has_adapter(self) -> bool:
        """Whether what comes out is an adapter, to be merged."""
        return self.adapter is not None

    @property
    def four_bit(self) -> bool:
        """Whether the base's weights are held in 4 bits."""
        return False

    @property
    def max_prompt_length(self) -> int | None:
        """Tokens of a prompt, where that is less than `max_length` allows."""
        return None

    @property
    def texts(self) -> tuple[Path, ...]:
        """Plain text files."""
        return ()

    @property
    def learnt(self) -> tuple[Source, ...]:
        """The files of rows that are learnt from."""
        return self.data

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every file of rows, the validation file included."""
        held_out = (self.validation,) if isinstance(self.validation, Source) else ()
        return (*self.learnt, *held_out)

    def card_dict(self) -> dict[str, object]:
        """The recipe for `kodolly.json`; paths shortened to file names tell nothing of a machine."""
        idle = {"lora", "dpo", "kto", "orpo", "simpo"} - self.sections
        shown = self.model_dump(mode="json", exclude_none=True, exclude=idle)
        for key in {"data", "replay"} & shown.keys():
            shown[key] = [{**source, "path": Path(source["path"]).name} for source in shown[key]]
        if "text" in shown:
            shown["text"] = [Path(path).name for path in shown["text"]]
        if isinstance(self.validation, Source):
            shown["validation"]["path"] = self.validation.path.name
        if "base" in shown and Path(shown["base"]).is_absolute():
            shown["base"] = Path(shown["base"]).name
        if self.template and Path(self.template).is_absolute():
            shown["template"] = Path(self.template).name
        return shown


_OTHER = {"base": "architecture", "architecture": "base"}


class AnswersAndText(CommonKeys):
    """What learns answers and plain text."""

    replay: tuple[Source, ...] = ()
    """Rows that the base already knows, mixed in so that it does not forget them."""
    text: tuple[Path, ...] = ()
    """Plain text files; every token of them is learnt."""
    packing: bool = False
    """Several short rows in one sequence of max_length. Refused where the model lets them see each other."""
    neftune: float | None = Field(default=None, gt=0)
    """Noise on the embeddings while answers are learnt (NEFTune, Jain et al. 2023; 5 there)."""

    @property
    def texts(self) -> tuple[Path, ...]:
        return self.text

    @property
    def learnt(self) -> tuple[Source, ...]:
        return (*self.data, *self.replay)


class FromBase(CommonKeys):
    """What begins with a checkpoint."""

    base: str
    """Checkpoint to start from: a directory, or a hub id that is in the local cache."""
    end_token: str | None = None
    """The token that ends an answer, where it is not the tokenizer's own end token."""

    needs: ClassVar[str] = "base"

    @property
    def added_tokens(self) -> tuple[str, ...]:
        """Special tokens that the base's tokenizer is given."""
        return ()


class NewTokens(FromBase):
    """What may give the base's tokenizer tokens."""

    new_tokens: tuple[str, ...] = ()
    """Special tokens to add. Their input and output rows are trained, whatever the method; the checkpoint
    must be merged before it is served. None is needed: the end token that the base has can be learnt."""

    @property
    def added_tokens(self) -> tuple[str, ...]:
        return self.new_tokens


class OnAdapter(FromBase):
    """What trains an adapter and leaves the base's weights alone."""

    quantize: Literal["nf4"] | None = None
    """4-bit weights below the adapter: qlora has them always, preference training when told."""

    @property
    def adapter(self) -> Lora:
        return self.lora

    @property
    def four_bit(self) -> bool:
        return self.quantize is not None
