"""Models and tokenizers: initialised, loaded, and fitted with an adapter."""

import importlib.util
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    GenerationConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
)

from common.errors import UserError
from finetune.models.auto import checkpoint_model, checkpoint_tokenizer
from finetune.models.precision import Precision, choose_attention
from finetune.recipes.keys import FromBase
from finetune.recipes.sections import Architecture, Lora

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ROW_MULTIPLE = 64
"""The number of embedding rows is rounded up to a multiple of this, which matrix units and tensor parallel
ranks can divide."""

INITIAL_SPREAD = 0.06
"""Standard deviation of initial weights. GPT-NeoX's default of 0.02 is meant for wide models; at a width of
256 it costs about three epochs (measured on the demo)."""


def make_model(
    architecture: Architecture, tokenizer: "PreTrainedTokenizerBase", seed: int
) -> "PreTrainedModel":
    """A GPT-NeoX with random weights and the vocabulary of `tokenizer`."""
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=architecture.width,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        intermediate_size=4 * architecture.width,
        max_position_embeddings=architecture.context,
        initializer_range=INITIAL_SPREAD,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return GPTNeoXForCausalLM(config)  # type: ignore[no-untyped-call]


def load_model(directory: Path) -> "PreTrainedModel":
    """Load the checkpoint's model in float32, from safetensors only. Raises UserError."""
    return checkpoint_model(directory, lambda _: {"dtype": torch.float32})


def load_for_training(directory: Path, recipe: FromBase, precision: Precision) -> "PreTrainedModel":
    """Load the base in training's number formats and with its attention. Raises UserError."""
    options: dict[str, object] = {"dtype": precision.weights}
    if recipe.four_bit:
        options |= _four_bit(precision)
    model = checkpoint_model(
        directory, lambda config: options | {"attn_implementation": choose_attention(config, precision)}
    )
    layer: Any
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            # At the first evaluation on a CPU with AVX512-BF16 bitsandbytes repacks the weights for a kernel
            # without a backward pass, so that training would fail after the first validation.
            layer.support_avx512bf16_for_cpu = False
    return model


def require_bitsandbytes() -> None:
    """Raises UserError when bitsandbytes, the library for 4-bit weights, is missing."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "4-bit weights need bitsandbytes, which is not installed.",
            hint="Install the extra `finetune`, or use method lora.",
        )


def _four_bit(precision: Precision) -> dict[str, object]:
    """Arguments of from_pretrained for NF4 with double quantisation (QLoRA, Dettmers et al. 2023)."""
    require_bitsandbytes()
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=precision.compute,
    )
    on_gpu = torch.cuda.is_available()
    return {
        "quantization_config": config,
        "device_map": {"": torch.cuda.current_device() if on_gpu else "cpu"},
    }


def load_tokenizer(directory: Path, template: str) -> "PreTrainedTokenizerBase":
    """Load the checkpoint's tokenizer and give it the chat template `template` (its text). Raises
    UserError."""
    tokenizer = checkpoint_tokenizer(directory)
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer in {directory} has no end token; a model could never learn to stop.")
    if tokenizer.pad_token_id is None:
        # Padding is masked by position, not by id, so that it may share the end token's id.
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = template
    return tokenizer


def set_tokens(tokenizer: "PreTrainedTokenizerBase", recipe: FromBase) -> None:
    """Add the recipe's new tokens to `tokenizer` and set its end token. Raises UserError."""
    known = [
        token for token in recipe.added_tokens if tokenizer.convert_tokens_to_ids(token) in _ids(tokenizer)
    ]
    if known:
        raise UserError(f"The base's tokenizer has the token {known[0]} already; leave it out of new_tokens.")
    tokenizer.add_special_tokens({"additional_special_tokens": list(recipe.added_tokens)})
    if recipe.end_token is not None:
        if tokenizer.convert_tokens_to_ids(recipe.end_token) not in _ids(tokenizer):
            raise UserError(
                f"The tokenizer has no token {recipe.end_token}; it would end answers as several tokens.",
                hint="Leave end_token out to use the base's own, or add it to new_tokens.",
            )
        tokenizer.eos_token = recipe.end_token


def _ids(tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    return set(tokenizer.get_vocab().values()) - {tokenizer.unk_token_id}


def make_room(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """Grow the model's embeddings so that every token has a row; returns the new number of rows, or None when
    there were enough (many models have spare rows). They never shrink, as tensor parallel ranks divide the
    rows of a checkpoint."""
    rows = embedding_rows(model)
    if len(tokenizer) <= rows:
        return None
    model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=ROW_MULTIPLE)
    return embedding_rows(model)


def embedding_rows(model: "PreTrainedModel") -> int:
    """Rows of the input embedding, of which there are at least as many as tokens."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return int(weight.shape[0])


def embedding_names(model: "PreTrainedModel") -> tuple[str, str | None]:
    """Module names of the input and the output embedding. They are read from the model, as they differ
    between architectures and versions. The second is None where the two are tied."""
    names = {id(module): name for name, module in model.named_modules()}
    source, target = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[no-untyped-call]
    shared = model.config.get_text_config().tie_word_embeddings or target.weight is source.weight
    return names[id(source)], None if shared else names[id(target)]


def add_adapter(model: "PreTrainedModel", lora: Lora, new_ids: tuple[int, ...] = ()) -> "PreTrainedModel":
    """`model` with a new, trainable LoRA adapter; the rows of `new_ids` are trained in both embeddings."""
    with no_word_about_experts():
        tuned = get_peft_model(model, lora_config(model, lora, new_ids))
    return cast("PreTrainedModel", tuned)  # PeftModel forwards attributes to the model


@contextmanager
def no_word_about_experts() -> Iterator[None]:
    """Silence PEFT's warning about a rank pattern without a layer, which it makes itself for fused
    experts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys", RuntimeWarning)
        yield


def lora_config(model: "PreTrainedModel", lora: Lora, new_ids: tuple[int, ...] = ()) -> LoraConfig:
    """PEFT's configuration of `lora`. The output rows of new tokens are trained, too, or a new token could
    never become the likeliest."""
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    tokens = {name: list(new_ids) for name in embedding_names(model) if name} if new_ids else None
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        target_modules=targets,
        exclude_modules=_other_layers(model),
        trainable_token_indices=tokens,
        task_type="CAUSAL_LM",
    )


def _other_layers(model: torch.nn.Module) -> str | None:
    """PEFT's pattern for the layers that only images or sound reach; None for a model of text alone.

    Rows are text, so that an adapter there would cost memory and learn nothing.
    """
    text = text_part(model)
    return rf"(?!{re.escape(text)}\.).*" if text else None


def text_part(model: torch.nn.Module) -> str:
    """The name of the module that holds all layers for text; empty in a model of text alone."""
    names = [name for name, _ in model.named_modules()]
    return next((name for name in names if name.rsplit(".", 1)[-1] == "language_model"), "")


def engine_stops(directory: Path, tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """Ids at which vLLM stops unless a request adds more: the tokenizer's end token and those that
    generation_config.json lists."""
    return tuple(dict.fromkeys([tokenizer.eos_token_id, *listed_stops(directory, tokenizer)]))


def listed_stops(directory: Path, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Ids of the end tokens in generation_config.json; [] without that file."""
    try:
        stops = GenerationConfig.from_pretrained(directory, local_files_only=True).eos_token_id
    except (OSError, ValueError):
        return []
    listed = stops if isinstance(stops, list) else [stops]
    return [number for number in listed if isinstance(number, int) and number < len(tokenizer)]
