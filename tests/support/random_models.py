"""Models of chance weights, made from a configuration."""

from typing import Any, TypedDict

from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel


class Shape(TypedDict):
    """What most families' configurations call the same."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int


def random_model(config: PretrainedConfig, **options: Any) -> PreTrainedModel:
    """A causal language model of the configuration's family. Seed torch before, for the same one again."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, **options)  # type: ignore[no-untyped-call]  # transformers gives none
    return model
