"""Parameters that an adapter brings along whole, and how they change the base's embeddings.

Trainers that add tokens save the embeddings with the adapter, with more or fewer rows than the base's. Where
the base ties input and output embedding, an adapter may have changed one of the two alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from common.errors import UserError
from finetune.merge.parameter_names import empty_model, places
from finetune.merge.streamed_model import open_weights
from finetune.models.adapter_files import PREFIX, AdapterFiles

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


_BASE_HINT = "--base names the model that it was trained on."


@dataclass(frozen=True)
class _Ends:
    """Names of the input and the output embedding of a model."""

    source: str
    head: str

    def of(self, parameter: str) -> bool:
        return parameter.rpartition(".")[0] in (self.source, self.head)

    @property
    def weights(self) -> tuple[str, str]:
        return f"{self.source}.weight", f"{self.head}.weight"


def fit_embeddings(config: "PretrainedConfig", files: AdapterFiles, base: Path) -> AdapterFiles:
    """The adapter with its whole parameters renamed as in the model of `config`.

    `config`, the base's, is changed: it gets the adapter's number of tokens, and untied embeddings where
    training changed only one of them. Raises UserError for parameters that the base does not have.
    """
    model = empty_model(config)
    whole = _by_names_of(model, files)
    names = {id(module): name for name, module in model.named_modules()}
    ends = _Ends(names[id(model.get_input_embeddings())], names[id(model.get_output_embeddings())])  # type: ignore[no-untyped-call]
    _check_shapes(model, whole, ends, base)
    if config.get_text_config().tie_word_embeddings and _apart(files, whole, ends):
        own = open_weights(base, model).load(ends.weights[0], model.get_parameter(ends.weights[0]).shape)
        for name in ends.weights:
            whole.setdefault(name, own)
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = False
    _set_rows(config, whole, ends, base)
    return replace(files, whole=whole)


def _by_names_of(model: "PreTrainedModel", files: AdapterFiles) -> dict[str, torch.Tensor]:
    found = places(model, files.whole)
    named = {}
    for name, value in files.whole.items():
        place = found.get(name)
        if place is None or place.expert is not None:
            raise UserError(f"{files.path} holds {PREFIX}{name}, for which the base has no layer.")
        named[place.parameter] = value
    return named


def _check_shapes(
    model: "PreTrainedModel", whole: Mapping[str, torch.Tensor], ends: _Ends, base: Path
) -> None:
    for name, value in whole.items():
        needed = list(model.get_parameter(name).shape)
        given = list(value.shape)
        if (given[1:], len(given)) != (needed[1:], len(needed)) if ends.of(name) else given != needed:
            raise UserError(
                f"The adapter was not made for {base}: {name} has the shape {given}, "
                f"this base needs {needed}.",
                hint=_BASE_HINT,
            )


def _apart(files: AdapterFiles, whole: Mapping[str, torch.Tensor], ends: _Ends) -> bool:
    """Whether the adapter changes input and output embedding in different ways."""
    starts = tuple(f"{PREFIX}{module}.lora_" for module in (ends.source, ends.head))
    if any(key.startswith(starts) for key in files.changes):
        if files.config.ensure_weight_tying:
            raise UserError(
                "The adapter has a low-rank change of embeddings that are tied (ensure_weight_tying), which "
                "`kodolly merge lora` cannot merge."
            )
        return True
    source, head = (whole.get(name) for name in ends.weights)
    if source is not None and head is not None:
        return not torch.equal(source, head)
    if files.config.ensure_weight_tying or (source is None) == (head is None):
        return False
    return any(
        re.fullmatch(rf"(.*\.)?{saved}", module) for saved in files.saved for module in vars(ends).values()
    )


def _set_rows(config: "PretrainedConfig", whole: Mapping[str, torch.Tensor], ends: _Ends, base: Path) -> None:
    text = config.get_text_config()
    given = {name: len(whole[name]) for name in ends.weights if name in whole}
    rows = set(given.values())
    if len(rows) > 1 or (rows - {text.vocab_size} and len(given) < 2 and not text.tie_word_embeddings):
        told = ", ".join(f"{name} {count}" for name, count in given.items())
        raise UserError(
            f"The adapter's embeddings do not have the same number of rows for input and output: {told}; "
            f"the base {base} has {text.vocab_size}."
        )
    if rows:
        text.vocab_size = rows.pop()
