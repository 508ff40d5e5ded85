"""The sizes in a model's `config.json`, family by family, under the names that transformers uses."""

from typing import Any

Shape = dict[str, Any]
"""Arguments of `transformers.AutoConfig.for_model`."""


def neox(layers: int, width: int, heads: int, vocabulary: int) -> Shape:
    return {
        "model_type": "gpt_neox",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    }


def llama(
    model_type: str,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    inner: int,
    context: int,
    **more: object,
) -> Shape:
    return {
        "model_type": model_type,
        "vocab_size": 32000,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "max_position_embeddings": context,
        **more,
    }


def qwen3(
    layers: int, width: int, heads: int, inner: int, *, tied: bool = False, vocabulary: int = 151936
) -> Shape:
    more = {"vocab_size": vocabulary, "head_dim": 128, "tie_word_embeddings": tied}
    return llama("qwen3", layers, width, heads, 8, inner, 40960, **more)


def qwen3_5(
    layers: int, width: int, heads: int, inner: int, value_heads: int, *, tied: bool = False
) -> Shape:
    """The text part, which is what training loads; three layers in four have linear attention."""
    more = {"vocab_size": 248320, "head_dim": 256, "tie_word_embeddings": tied}
    more |= {"linear_num_value_heads": value_heads}
    return llama("qwen3_5_text", layers, width, heads, 4, inner, 262144, **more)


def gemma3(layers: int, width: int, heads: int, kv_heads: int, inner: int, head: int) -> Shape:
    text = {"head_dim": head, "sliding_window": 1024, "tie_word_embeddings": True}
    vision = {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16}
    return {
        "model_type": "gemma3",
        "text_config": llama("gemma3_text", layers, width, heads, kv_heads, inner, 131072, **text)
        | {"vocab_size": 262208},
        "vision_config": {
            "model_type": "siglip_vision_model",
            "intermediate_size": 4304,
            "image_size": 896,
            "patch_size": 14,
            "vision_use_head": False,
            **vision,
        },
    }


def llama3(
    layers: int, width: int, heads: int, inner: int, *, tied: bool = False, head: int | None = None
) -> Shape:
    more = {"vocab_size": 128256, "tie_word_embeddings": tied, "head_dim": head or width // heads}
    return llama("llama", layers, width, heads, 8, inner, 131072, **more)


def gemma4(text: Shape, vision: Shape, *, audio: bool) -> Shape:
    """Gemma 4 with separate towers. The E models also take sound and have an embedding for every layer; the
    large ones have neither."""
    whole: Shape = {
        "model_type": "gemma4",
        "text_config": {"vocab_size": 262144, "head_dim": 256, "global_head_dim": 512} | text,
        "vision_config": {"model_type": "gemma4_vision"} | vision,
    }
    return whole | {"audio_config": {"model_type": "gemma4_audio"}} if audio else whole


def gemma4_unified(layers: int, width: int, heads: int, kv_heads: int, inner: int) -> Shape:
    """Gemma 4 12B: images and sound enter the text part through a single projection, without towers."""
    text: dict[str, object] = {
        "vocab_size": 262144,
        "head_dim": 256,
        "global_head_dim": 512,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "sliding_window": 1024,
    }
    return {
        "model_type": "gemma4_unified",
        "text_config": llama("gemma4_unified_text", layers, width, heads, kv_heads, inner, 262144, **text),
        "vision_config": {"model_type": "gemma4_unified_vision"},
        "audio_config": {"model_type": "gemma4_unified_audio"},
    }


def ministral3(layers: int, width: int, inner: int, *, tied: bool = False) -> Shape:
    """Ministral 3 with Pixtral's vision tower of 24 layers."""
    text = {"vocab_size": 131072, "head_dim": 128, "tie_word_embeddings": tied}
    return {
        "model_type": "mistral3",
        "tie_word_embeddings": tied,
        "text_config": llama("ministral3", layers, width, 32, 8, inner, 262144, **text),
        "vision_config": {
            "model_type": "pixtral",
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "head_dim": 64,
            "intermediate_size": 4096,
            "image_size": 1540,
            "patch_size": 14,
        },
    }


def mixture_of_latents(layers: int, width: int, heads: int, inner: int, **more: object) -> Shape:
    """DeepSeek-V3's architecture: multi-head latent attention, a dense first layer, and in all others routed
    and shared experts."""
    return llama(
        "deepseek_v3",
        layers,
        width,
        heads,
        heads,
        inner,
        32768,
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        first_k_dense_replace=1,
        **more,
    )
