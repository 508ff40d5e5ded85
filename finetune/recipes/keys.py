"""The keys of a recipe that several methods share. docs/recipe.md is generated from their docstrings.

Properties beside the keys say what they mean for the rest of the program, so that no other code asks for the
method's name.
"""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from finetune.recipes.sections import Dpo, Embed, Kto, Lora, Orpo, Section, Simpo, Source

METHOD_DEFAULTS: dict[str, dict[str, object]] = {
    "pretrain": {"learning_rate": 2e-3, "schedule": "linear"},
    "full": {"learning_rate": 2e-5, "schedule": "cosine"},
    "lora": {"learning_rate": 2e-4, "schedule": "linear"},
    "qlora": {"learning_rate": 2e-4, "schedule": "linear", "max_grad_norm": 0.3, "quantize": "nf4"},
    "dpo": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1},
    "kto": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1, "learn": "last"},
    "orpo": {"learning_rate": 8e-6, "schedule": "cosine", "warmup": 0.1},
    "simpo": {"learning_rate": 5e-6, "schedule": "cosine", "warmup": 0.1},
    "embed": {"learning_rate": 2e-5, "schedule": "linear", "warmup": 0.1, "batch_size": 64, "epochs": 1},
}
"""Method -> defaults of its keys. Preference training takes a fortieth of LoRA's usual learning rate."""


class CommonKeys(Section):
    """The keys of all methods."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The model's name in the checkpoint and, unless told otherwise, in the gateway."""
    method: str
    """See the table above."""
    data: tuple[Source, ...] = ()
    """Files of Dolly rows; for dpo, orpo and simpo with `chosen` and `rejected`, for kto with
    `meta.label`, for embed of `question` and `passage`."""
    licence: str | None = None
    """Licence of the result; left out, the base's."""
    max_length: int = Field(default=512, ge=8)
    """Most tokens of a sequence. The answer of a longer row is never cut: see over_length."""
    epochs: int = Field(default=3, ge=1)
    """How many times every row is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps after which training ends, in place of `epochs`."""
    learning_rate: float = Field(gt=0)
    """AdamW's peak learning rate."""
    schedule: Literal["linear", "cosine", "constant_with_warmup"]
    """The learning rate after the warm-up: it falls to zero, or stays constant."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are clipped to this."""
    batch_size: int = Field(default=16, ge=1)
    """Sequences per device in one forward and backward pass."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Passes per optimiser step."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them: much less memory, about a third
    slower."""
    embed: Embed = Embed()
    """For method embed; see below."""
    validation: float | Source | None = None
    """Share of the rows to hold out, or a file of rows. With it the weights with the lowest validation loss
    are kept, not the last."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations in a row without a lower validation loss."""
    checkpoint_every: int | Literal["epoch", "never"] = "epoch"
    """Steps between two saved training states, from which a killed run resumes; validation runs as often."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Where training curves go: tensorboard writes files beside the output, wandb needs an account, mlflow
    sends to the server in MLFLOW_TRACKING_URI."""
    seed: int = 42
    """Seed of everything random: order, shares, initial weights, dropout."""
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Number format of the saved weights."""

    needs: ClassVar[str]
    """The key that the method requires."""
    takes_no: ClassVar[dict[str, str]]
    """Keys that belong to other methods -> what to say when one of them has a value."""
    sections: ClassVar[frozenset[str]] = frozenset()
    """The sections that the method reads. Others may be in the file, so that `method=...` on the command line
    is enough to change the method."""

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
        """Whether the result is an adapter, which has to be merged."""
        return self.adapter is not None

    @property
    def four_bit(self) -> bool:
        """Whether the base's weights are quantised to 4 bits."""
        return False

    @property
    def fused_loss(self) -> Literal["Liger", "TRL"] | None:
        """By whose code the loss is computed from the last hidden states, without the logits of all tokens;
        None where they are held."""
        return None

    @property
    def max_prompt_length(self) -> int | None:
        """Most tokens of a prompt; None where `max_length` alone limits it."""
        return None

    @property
    def texts(self) -> tuple[Path, ...]:
        """Files of plain text."""
        return ()

    @property
    def learnt(self) -> tuple[Source, ...]:
        """The files of rows for training, without the validation file."""
        return self.data

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every file of rows, the validation file included."""
        held_out = (self.validation,) if isinstance(self.validation, Source) else ()
        return (*self.learnt, *held_out)

    def card_dict(self) -> dict[str, object]:
        """The recipe for `kodolly.json`, with paths shortened to file names: a card tells nothing of a
        machine."""
        idle = {"lora", "dpo", "kto", "orpo", "simpo", "embed"} - self.sections
        shown = self.model_dump(mode="json", exclude_none=True, exclude=idle)
        for key in {"data", "replay"} & shown.keys():
            shown[key] = [{**source, "path": Path(source["path"]).name} for source in shown[key]]
        if "text" in shown:
            shown["text"] = [Path(path).name for path in shown["text"]]
        if isinstance(self.validation, Source):
            shown["validation"]["path"] = self.validation.path.name
        if "base" in shown and Path(shown["base"]).is_absolute():
            shown["base"] = Path(shown["base"]).name
        if "template" in shown and Path(shown["template"]).is_absolute():
            shown["template"] = Path(shown["template"]).name
        return shown


_OTHER = {"base": "architecture", "architecture": "base"}


class ChatKeys(CommonKeys):
    """The keys of all methods that make a model that writes."""

    template: str | None = None
    """`own` (the base's chat template), a name from common/templates, or a file FILE.jinja. Left out: the
    base's own where it has one, else dolly."""
    learn: Literal["all", "last"] = "all"
    """Which answers of a conversation the loss covers: all, or the last alone."""
    reasoning: Literal["given", "empty"] = "given"
    """For models whose prompts always open a thought. empty: rows without reasoning learn to close it at once
    and to answer; given: such rows are refused. Where the template has a switch against thinking, that is
    used."""
    over_length: Literal["drop", "window", "error"] = "drop"
    """What happens to rows above max_length. drop: they are left out. window: the oldest turns of the history
    go first, then what is far from the answer in the context. error: training is refused."""
    lora: Lora = Lora()
    """The adapter of all methods but pretrain and full; see below. Of embed where it is given: left out, all
    weights are trained."""
    dpo: Dpo = Dpo()
    """For method dpo; see below."""
    kto: Kto = Kto()
    """For method kto; see below."""
    orpo: Orpo = Orpo()
    """For method orpo; see below."""
    simpo: Simpo = Simpo()
    """For method simpo; see below."""
    smoke_test: bool = True
    """Test before the run that a copy of the model can learn 20 rows by heart and stop after each answer."""

    sequences_per_row: ClassVar[int] = 1
    """Sequences that a row becomes; a pair becomes two, a better and a worse answer to one prompt."""
    forward_passes: ClassVar[int] = 3
    """Cost of a training step in forward passes; the backward pass takes as long as two."""
    smoke_test_rates: ClassVar[tuple[float, float] | None] = None
    """Least and greatest learning rate of the smoke test; None for methods without one. With the lower rate
    of a real run it would need more passes than it has, and above the greatest rate nothing is learnt."""


class AnswersAndText(ChatKeys):
    """Keys of methods that train on answers and plain text."""

    replay: tuple[Source, ...] = ()
    """Files of rows that the base already knows, mixed in so that it does not forget them."""
    text: tuple[Path, ...] = ()
    """Files of plain text; the loss covers every token of them."""
    packing: bool = False
    """Pack several short rows into one sequence of max_length. Refused where rows of one sequence would
    attend to each other."""
    neftune: float | None = Field(default=None, gt=0)
    """Scale of noise on the embeddings during training (alpha of NEFTune, Jain et al. 2023, who use 5)."""

    @property
    def texts(self) -> tuple[Path, ...]:
        return self.text

    @property
    def learnt(self) -> tuple[Source, ...]:
        return (*self.data, *self.replay)


class OnBase(CommonKeys):
    """Keys of methods that start from a checkpoint."""

    base: str
    """Checkpoint to start from: a directory, or a hub id that is in the local cache."""

    needs: ClassVar[str] = "base"


class FromBase(OnBase, ChatKeys):
    """Keys of methods that start from a checkpoint of a model that writes."""

    end_token: str | None = None
    """The token that ends an answer; left out, the tokenizer's own end token."""

    @property
    def added_tokens(self) -> tuple[str, ...]:
        """Special tokens that are added to the base's tokenizer."""
        return ()


class NewTokens(FromBase):
    """Keys of methods that can add tokens to the base's tokenizer."""

    new_tokens: tuple[str, ...] = ()
    """Special tokens to add. Their rows in both embeddings are trained, whatever the method, and an adapter
    must be merged before it is served. Seldom needed: the end token that the base has can be learnt."""

    @property
    def added_tokens(self) -> tuple[str, ...]:
        return self.new_tokens


class OnTokens(FromBase):
    """Keys of methods that learn each token for itself, from a base."""

    liger: bool = False
    """Compute the loss by Liger's kernel, which never holds the logits of all tokens: for vocabularies of
    100,000 tokens and more. Needs a GPU and the extra `liger`."""

    @property
    def fused_loss(self) -> Literal["Liger", "TRL"] | None:
        return "Liger" if self.liger else None


class OnAdapter(FromBase):
    """Keys of methods that train an adapter and leave the base's weights unchanged."""

    quantize: Literal["nf4"] | None = None
    """4-bit weights below the adapter: qlora always has them, preference training when this is set."""

    @property
    def adapter(self) -> Lora:
        return self.lora

    @property
    def four_bit(self) -> bool:
        return self.quantize is not None
