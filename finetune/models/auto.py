"""Which of transformers' auto classes reads a model for text, and how it and its tokenizer are read."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from common.errors import UserError, first_line

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def auto_class(config: "PretrainedConfig") -> Any:
    """AutoModelForCausalLM, or the auto class for images and text where only that one lists the model.
    Mistral's models that read images (`mistral3`) are such, and their class takes text alone as well."""
    for each in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(config) in each._model_mapping:
            return each
    return AutoModelForCausalLM


def positions(config: "PretrainedConfig") -> int | None:
    """How many tokens the model for text has positions for; None where there is no such number (BLOOM)."""
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None


def read_config(directory: Path) -> "PretrainedConfig":
    """The configuration in `directory`. Raises whatever other people's files make transformers raise."""
    config: PretrainedConfig = AutoConfig.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False
    )
    return config


def checkpoint_config(directory: Path) -> "PretrainedConfig":
    """The configuration of a checkpoint. Raises UserError where none can be read."""
    try:
        return read_config(directory)
    except Exception as error:  # other people's files may be broken in any way
        raise UserError(f"{directory} is not a model that can be loaded: {_reason(error)}") from error


@contextmanager
def making_model(config: "PretrainedConfig") -> Iterator[None]:
    """Around the making of a model without its weights. Raises UserError where `config` describes none."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # other people's files may be broken in any way
        raise UserError(
            f"The configuration in {config.name_or_path} describes no model: {_reason(error)}"
        ) from error


def weightless_model(config: "PretrainedConfig") -> "PreTrainedModel":
    """The model that `config` describes, all of it on the `meta` device. Raises UserError."""
    with making_model(config), torch.device("meta"):
        model: PreTrainedModel = auto_class(config).from_config(config)
    return model


def described_model(directory: Path) -> "PreTrainedModel | None":
    """The model that a checkpoint describes, without its weights, for a look before it is loaded; None where
    there is none: loading it gives a better message."""
    try:
        return weightless_model(read_config(directory))
    except Exception:  # other people's files may be broken in any way
        return None


def checkpoint_model(
    directory: Path, options: Callable[["PretrainedConfig"], Mapping[str, object]]
) -> "PreTrainedModel":
    """The model of a checkpoint, from safetensors only. `options` tells what `from_pretrained` takes besides
    for a model of such a configuration. Raises UserError where none can be read."""
    try:
        config = read_config(directory)
        model: PreTrainedModel = auto_class(config).from_pretrained(
            directory,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **options(config),
        )
    except torch.OutOfMemoryError:
        raise  # the model is sound
    except Exception as error:  # other people's files may be broken in any way
        raise UserError(
            f"{directory} is not a model that can be loaded: {_reason(error)}",
            hint="Name a checkpoint directory with config.json and *.safetensors.",
        ) from error
    return model


def read_tokenizer(directory: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in `directory`. Raises OSError or ValueError.

    A tekken.json beside it is ignored: Mistral's own format has no chat template, which is also why merged
    checkpoints leave it out.
    """
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        directory,
        local_files_only=True,
        mistral_format=False,
        trust_remote_code=False,
    )
    return tokenizer


def checkpoint_tokenizer(directory: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a checkpoint or adapter. Raises UserError where none can be read."""
    try:
        return read_tokenizer(directory)
    except Exception as error:  # other people's files may be broken in any way
        raise UserError(f"{directory} holds no tokenizer that can be loaded: {first_line(error)}") from error


def _reason(error: Exception) -> str:
    """In words of ours where transformers gives advice that does not help here."""
    if "trust_remote_code" in str(error):
        return "transformers knows its architecture only by code that comes with it, which is never run."
    if "ignore_mismatched_sizes" in str(error):
        return "its weights have other shapes than its config.json says."
    if isinstance(error, KeyError):
        return f"it names {error}, which transformers does not know."
    return first_line(error)
