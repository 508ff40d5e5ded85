"""A recipe: one YAML file that says what is trained, from which model, on which rows and how.

A recipe is one of several types, told apart by its `method`: pretraining from scratch, tuning all weights of
a base, an adapter on a base, an adapter that is trained on pairs or on good and bad answers, or a model of
vectors. Each type has the keys that apply to it.
"""

import hashlib
import json
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, TypeAdapter, model_validator

from finetune.files.hashes import file_hash
from finetune.files.unreadable import unreadable
from finetune.recipes.keys import AnswersAndText, CommonKeys, NewTokens, OnAdapter, OnBase, OnTokens
from finetune.recipes.sections import Architecture, Lora

_NO_ARCHITECTURE = "needs `base` and takes no `architecture`"
_NO_QUANTIZE = "takes no `quantize`; 4-bit weights need method qlora"
_NO_NEW_TOKENS = "makes its own tokenizer and takes no `new_tokens`"
_PAIRS_ALONE = "takes pairs in `data`: no `text`, `replay`, `packing`, `neftune`, `new_tokens`"
_LABELLED_ALONE = "takes rows with a label in `data`: no `text`, `replay`, `packing`, `neftune`, `new_tokens`"
_NO_LIGER = "takes no `liger`: its loss never holds the logits of all tokens as it is"
_NOT_PREFERENCES = ("text", "replay", "packing", "neftune", "new_tokens")
_ABOUT_ANSWERS = (
    *(*_NOT_PREFERENCES, "template", "learn", "reasoning", "end_token", "over_length", "smoke_test"),
    *("quantize", "liger", "dpo", "kto", "orpo", "simpo"),
)
_VECTORS_ALONE = "writes no answers, and takes none of the keys about them: " + ", ".join(
    f"`{key}`" for key in _ABOUT_ANSWERS
)


class Pretraining(AnswersAndText):
    """A model from scratch."""

    method: Literal["pretrain"]
    """See the table above."""
    architecture: Architecture
    """The model to initialise."""

    needs: ClassVar[str] = "architecture"
    takes_no: ClassVar[dict[str, str]] = {
        "base": "needs `architecture` and takes no `base`",
        "quantize": _NO_QUANTIZE,
        "new_tokens": _NO_NEW_TOKENS,
        "end_token": _NO_NEW_TOKENS,
        "liger": "makes a GPT-NeoX, for which Liger has no loss: take no `liger`",
    }

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.licence is None:
            raise ValueError("method pretrain needs `licence`")
        if "max_length" in self.model_fields_set and self.max_length > self.architecture.context:
            raise ValueError("max_length is more than `architecture.context`")
        return self


class FullTuning(AnswersAndText, NewTokens, OnTokens):
    """All weights of a base."""

    method: Literal["full"]
    """See the table above."""
    takes_no: ClassVar[dict[str, str]] = {"architecture": _NO_ARCHITECTURE, "quantize": _NO_QUANTIZE}
    smoke_test_rates: ClassVar[tuple[float, float] | None] = (1e-4, 1e-3)


class AdapterTuning(AnswersAndText, NewTokens, OnTokens, OnAdapter):
    """An adapter on a base whose weights have 16 or (qlora) 4 bits."""

    method: Literal["lora", "qlora"]
    """See the table above."""
    takes_no: ClassVar[dict[str, str]] = {"architecture": _NO_ARCHITECTURE}
    sections: ClassVar[frozenset[str]] = frozenset({"lora"})
    smoke_test_rates: ClassVar[tuple[float, float] | None] = (1e-3, 1e-2)

    @model_validator(mode="after")
    def _four_bits_are_qlora(self) -> Self:
        if self.four_bit and self.method == "lora":
            raise ValueError(f"method lora {_NO_QUANTIZE}")
        if self.method == "qlora" and not self.four_bit:
            raise ValueError("method qlora trains on 4-bit weights; without them the method is lora")
        return self

    @model_validator(mode="after")
    def _liger_sees_all_that_learns(self) -> Self:
        if self.liger and self.new_tokens:
            raise ValueError(
                "liger reads the output embedding alone, and an adapter trains the rows of new_tokens beside "
                "it; leave one of the two out"
            )
        return self


class PairTuning(OnAdapter):
    """An adapter trained to prefer one answer of a pair to the other."""

    takes_no: ClassVar[dict[str, str]] = {
        "architecture": _NO_ARCHITECTURE,
        **dict.fromkeys(_NOT_PREFERENCES, _PAIRS_ALONE),
        "liger": _NO_LIGER,
    }
    sequences_per_row: ClassVar[int] = 2

    @property
    def fused_loss(self) -> Literal["Liger", "TRL"] | None:
        return "TRL"


class DpoTuning(PairTuning):
    """Pairs, with the base as the reference."""

    method: Literal["dpo"]
    """See the table above."""
    sections: ClassVar[frozenset[str]] = frozenset({"lora", "dpo"})
    forward_passes: ClassVar[int] = 4

    @property
    def max_prompt_length(self) -> int | None:
        return self.dpo.max_prompt_length


class OrpoTuning(PairTuning):
    """Pairs, by the odds ratio of both answers, without a reference."""

    method: Literal["orpo"]
    """See the table above."""
    sections: ClassVar[frozenset[str]] = frozenset({"lora", "orpo"})


class SimpoTuning(PairTuning):
    """Pairs, by the mean log probabilities of both answers, without a reference."""

    method: Literal["simpo"]
    """See the table above."""
    sections: ClassVar[frozenset[str]] = frozenset({"lora", "simpo"})


class LabelledTuning(OnAdapter):
    """An adapter trained on answers that are each good or bad."""

    method: Literal["kto"]
    """See the table above."""
    takes_no: ClassVar[dict[str, str]] = {
        "architecture": _NO_ARCHITECTURE,
        **dict.fromkeys(_NOT_PREFERENCES, _LABELLED_ALONE),
        "liger": _NO_LIGER,
    }
    sections: ClassVar[frozenset[str]] = frozenset({"lora", "kto"})
    forward_passes: ClassVar[int] = 6

    @property
    def fused_loss(self) -> Literal["Liger", "TRL"] | None:
        return "TRL"

    @model_validator(mode="after")
    def _one_answer_and_neighbours(self) -> Self:
        if self.learn != "last":
            raise ValueError("method kto has one verdict a row, on its last answer: learn is last")
        if self.kto.loss_type == "kto" and self.batch_size < 2:
            raise ValueError(
                "method kto needs batch_size 2 or more: it measures the distance to the reference with the "
                "answer of the row before; kto.loss_type apo_zero_unpaired does without"
            )
        return self


class EmbeddingTuning(OnBase):
    """A model of vectors, all weights of it or by an adapter, on questions and the passages that answer
    them."""

    method: Literal["embed"]
    """See the table above."""
    lora: Lora | None = None
    """None trains all weights; an adapter is merged into the checkpoint that is written."""
    takes_no: ClassVar[dict[str, str]] = {
        "architecture": _NO_ARCHITECTURE,
        **dict.fromkeys(_ABOUT_ANSWERS, _VECTORS_ALONE),
        "gradient_accumulation": "takes no `gradient_accumulation`: a question is held against the passages "
        "of one pass alone. Set batch_size, and embed.mini_batch where memory is short",
    }
    sections: ClassVar[frozenset[str]] = frozenset({"embed", "lora"})

    @model_validator(mode="after")
    def _one_learning_rate(self) -> Self:
        if self.lora is not None and self.lora.plus is not None:
            raise ValueError("method embed has one learning rate, and takes no `lora.plus`")
        return self

    @model_validator(mode="after")
    def _others_to_tell_from(self) -> Self:
        if self.batch_size < 2:
            raise ValueError(
                "method embed needs batch_size 2 or more: it learns from the batch's other passages"
            )
        if self.embed.mini_batch is not None and self.gradient_checkpointing:
            raise ValueError(
                "embed.mini_batch saves more memory than gradient_checkpointing; set one of them"
            )
        return self


PreferenceTuning = DpoTuning | OrpoTuning | SimpoTuning | LabelledTuning
Tuning = FullTuning | AdapterTuning | PreferenceTuning
"""Recipes that start from a base."""
Recipe = Pretraining | Tuning
"""Everything that decides the result of a training run of a model that writes."""
AnyRecipe = Recipe | EmbeddingTuning
KINDS: tuple[type[CommonKeys], ...] = get_args(AnyRecipe)
_ANY: TypeAdapter[AnyRecipe] = TypeAdapter(Annotated[AnyRecipe, Field(discriminator="method")])
_WRITING: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="method")])


def validate_any_recipe(values: object) -> AnyRecipe:
    """The recipe in a mapping of keys. Raises pydantic.ValidationError, whose `loc` begins with the
    method."""
    return _ANY.validate_python(values)


def validate_recipe(values: object) -> Recipe:
    """`validate_any_recipe` of a model that writes. Raises pydantic.ValidationError."""
    return _WRITING.validate_python(values)


def fingerprint(recipe: CommonKeys, template: str) -> str:
    """16 hex digits that change with anything in the recipe, its template's text or its files' contents."""
    files = [*recipe.texts, *(source.path for source in recipe.sources)]
    parts = [
        json.dumps(recipe.card_dict(), sort_keys=True, ensure_ascii=False),
        template,
        *(file_hash(file) for file in files),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def check_files(recipe: CommonKeys) -> None:
    """Raises UserError where a file of the recipe is missing. It is cheap, so that it can be called before
    torch loads."""
    for path in (*(source.path for source in recipe.sources), *recipe.texts):
        try:
            path.open("rb").close()
        except OSError as error:
            raise unreadable(path, error) from error
