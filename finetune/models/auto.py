"""What transformers' auto classes are to read a model and its tokenizer as: text, with a chat template."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


def auto_class(config: "PretrainedConfig") -> Any:
    """AutoModelForCausalLM, or the one for images and text where that alone knows the model: Mistral's models
    that read images (`mistral3`) stand there only, and their class takes texts by themselves as well."""
    for each in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(config) in each._model_mapping:
            return each
    return AutoModelForCausalLM


def read_tokenizer(directory: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in `directory`. Raises OSError and ValueError.

    A tekken.json beside it is passed over: Mistral's own format has no chat template, and a merged checkpoint
    leaves it out for that.
    """
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        directory, local_files_only=True, mistral_format=False
    )
    return tokenizer
