"""What llama.cpp is to be told of each architecture, and how it wants the weights.

Only what its own graph computes alike is written: a configuration with anything else in it is refused in one
line. Names of keys and tensors are the gguf package's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType

from common.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


Positions = Mapping[str, Any]
"""A configuration's `rope_parameters`."""


@dataclass(frozen=True)
class GgufModel:
    """An architecture of llama.cpp's."""

    arch: MODEL_ARCH
    settings: Callable[["PretrainedConfig", GGUFWriter], None]
    """Writes the architecture's keys. Raises UserError for what llama.cpp would not compute."""
    weight: Callable[[str, torch.Tensor, "PretrainedConfig"], torch.Tensor]
    """A tensor, by its name in the checkpoint, as llama.cpp wants it."""


def gguf_model(config: "PretrainedConfig") -> GgufModel:
    """Raises UserError for an architecture whose GGUF form is not known here."""
    kind = config.model_type
    if kind not in MODELS:
        raise UserError(
            f"A GGUF file of {kind} is not written: what llama.cpp makes of it has not been compared here.",
            hint=f"It is known of {', '.join(MODELS)}; llama.cpp's convert_hf_to_gguf.py knows more.",
        )
    return MODELS[kind]


def _only(config: "PretrainedConfig", **allowed: tuple[object, ...]) -> None:
    """Raises UserError when a value of the configuration is none of those that llama.cpp computes."""
    for name, values in allowed.items():
        given = getattr(config, name, values[0])
        if given not in values:
            raise UserError(f"llama.cpp does not compute {config.model_type} with {name} {given!r}.")


def _common(config: "PretrainedConfig", writer: GGUFWriter) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)


def _head(config: "PretrainedConfig") -> int:
    """Numbers of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _rope(config: "PretrainedConfig", writer: GGUFWriter) -> None:
    rope: Positions = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind == "yarn" and not {"attention_factor", "mscale", "beta_fast", "beta_slow"} & rope.keys():
        writer.add_rope_scaling_type(RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    elif kind not in ("default", "llama3"):  # llama3's factors are a tensor
        raise UserError(f"A GGUF file with positions of type {kind!r} is not written.")


def _llama_settings(config: "PretrainedConfig", writer: GGUFWriter) -> None:
    _only(config, hidden_act=("silu",), use_sliding_window=(False,))
    window = getattr(config, "sliding_window", None)
    writer.add_context_length(min(config.max_position_embeddings, window or config.max_position_embeddings))
    _common(config, writer)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(_head(config))
    writer.add_value_length(_head(config))
    writer.add_rope_dimension_count(_head(config))
    _rope(config, writer)


def _llama_weight(name: str, weight: torch.Tensor, config: "PretrainedConfig") -> torch.Tensor:
    """Llama's rotary pairs lie half a head apart in Transformers and side by side in llama.cpp."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.split(".")[-2])
    if count is None:
        return weight
    return weight.reshape(count, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def llama3_factors(config: "PretrainedConfig") -> torch.Tensor | None:
    """By which each rotary frequency is divided, (head / 2,) in float32; None but for Llama 3.1's positions.

    The rule is `rope_type: llama3`, as transformers' modeling_rope_utils computes it.
    """
    rope: Positions = config.rope_parameters
    if rope.get("rope_type") != "llama3":
        return None
    half = torch.arange(0, _head(config), 2, dtype=torch.float32) / _head(config)
    length = 2 * torch.pi * rope["rope_theta"] ** half
    old, low, high = (
        float(rope[key])
        for key in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )
    kept = ((old / length - low) / (high - low)).clamp(0, 1)
    return torch.reciprocal((1 - kept) / float(rope["factor"]) + kept)


def _same(name: str, weight: torch.Tensor, config: "PretrainedConfig") -> torch.Tensor:
    return weight


def _gemma_settings(config: "PretrainedConfig", writer: GGUFWriter) -> None:
    period = 6
    layers = config.num_hidden_layers
    pattern = ["sliding_attention" if (n + 1) % period else "full_attention" for n in range(layers)]
    _only(
        config,
        hidden_activation=("gelu_pytorch_tanh",),
        layer_types=(pattern,),
        query_pre_attn_scalar=(_gemma_scalar(config),),
        attn_logit_softcapping=(None,),
        final_logit_softcapping=(None,),
        attention_bias=(False,),
        use_bidirectional_attention=(False, None),
    )
    writer.add_context_length(config.max_position_embeddings)
    _common(config, writer)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(_head(config))
    writer.add_value_length(_head(config))
    writer.add_sliding_window(config.sliding_window)
    far, near = (config.rope_parameters[kind] for kind in ("full_attention", "sliding_attention"))
    writer.add_rope_freq_base(far["rope_theta"])
    writer.add_rope_freq_base_swa(near["rope_theta"])
    if far.get("rope_type", "default") == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(far["factor"])
    elif far.get("rope_type", "default") != "default":
        raise UserError(f"A GGUF file with positions of type {far['rope_type']!r} is not written.")


def _gemma_scalar(config: "PretrainedConfig") -> int:
    """By whose root llama.cpp divides attention: of 62 layers, Gemma 3 27B's, it takes another."""
    if config.num_hidden_layers == 62:
        return int(config.hidden_size // config.num_attention_heads)
    return _head(config)


def _gemma_weight(name: str, weight: torch.Tensor, config: "PretrainedConfig") -> torch.Tensor:
    """Gemma's norms multiply by one more than what is stored."""
    return weight.float() + 1 if name.endswith("norm.weight") else weight


def _neox_settings(config: "PretrainedConfig", writer: GGUFWriter) -> None:
    _only(config, hidden_act=("gelu", "gelu_new", "gelu_fast"), attention_bias=(True,))
    writer.add_context_length(config.max_position_embeddings)
    _common(config, writer)
    rope = config.rope_parameters
    _only_default(rope)
    writer.add_rope_dimension_count(int(_head(config) * rope.get("partial_rotary_factor", 1.0)))
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_parallel_residual(config.use_parallel_residual)
    writer.add_layer_norm_eps(config.layer_norm_eps)


def _only_default(rope: Positions) -> None:
    if rope.get("rope_type", "default") != "default":
        raise UserError(f"A GGUF file with positions of type {rope['rope_type']!r} is not written.")


def _neox_weight(name: str, weight: torch.Tensor, config: "PretrainedConfig") -> torch.Tensor:
    """Query, key and value lie side by side for each head in Transformers, not in llama.cpp."""
    if ".query_key_value." not in name:
        return weight
    heads = config.num_attention_heads
    return weight.reshape(heads, 3, -1, *weight.shape[1:]).swapaxes(0, 1).reshape(weight.shape)


MODELS = {
    "llama": GgufModel(MODEL_ARCH.LLAMA, _llama_settings, _llama_weight),
    "mistral": GgufModel(MODEL_ARCH.LLAMA, _llama_settings, _llama_weight),
    "qwen2": GgufModel(MODEL_ARCH.QWEN2, _llama_settings, _same),
    "qwen3": GgufModel(MODEL_ARCH.QWEN3, _llama_settings, _same),
    "gemma3_text": GgufModel(MODEL_ARCH.GEMMA3, _gemma_settings, _gemma_weight),
    "gpt_neox": GgufModel(MODEL_ARCH.GPTNEOX, _neox_settings, _neox_weight),
}
"""By the configuration's `model_type`. Each was compared with llama.cpp's own answers in the tests."""
