"""Which of transformers' auto classes reads a model for text, and how its tokenizer is read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


def auto_class(config: "PretrainedConfig") -> Any:
    """AutoModelForCausalLM, or the auto class for images and text where only that one lists the model.
    Mistral's models that read images (`mistral3`) are such, and their class takes text alone as well."""
    for each in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(config) in each._model_mapping:
            return each
    return AutoModelForCausalLM


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
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{directory} holds no tokenizer that can be loaded: {reason}") from error
