"""Models and tokenizers: made from nothing, loaded, given an adapter."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

from common.chat_template import load_template
from common.errors import UserError
from finetune.recipe import Architecture, Lora

INITIAL_SPREAD = 0.06
"""Standard deviation of fresh weights. GPT-NeoX's own 0.02 is meant for wide models; at a width of 256 it
costs about three epochs (measured on the demo)."""


def make_model(architecture: Architecture, tokenizer: Any, seed: int) -> Any:
    """A GPT-NeoX with fresh weights for `tokenizer`."""
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


def load_model(directory: Path) -> Any:
    """The checkpoint's model in float32, from safetensors only. Raises UserError."""
    try:
        return AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory} is not a model that can be loaded: {str(error).splitlines()[0]}",
            hint="Name a checkpoint directory with config.json and *.safetensors.",
        ) from error


def load_tokenizer(directory: Path, template: str) -> Any:
    """The checkpoint's tokenizer with the chat template `template`. Raises UserError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory} holds no tokenizer that can be loaded: {str(error).splitlines()[0]}"
        ) from error
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer in {directory} has no end token; a model could never learn to stop.")
    if tokenizer.pad_token_id is None:
        # Only the collator uses it, and what it fills is masked by position, not by id.
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.chat_template = load_template(template)
    return tokenizer


def add_adapter(model: Any, lora: Lora) -> Any:
    """`model` with a fresh, trainable LoRA adapter."""
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)
