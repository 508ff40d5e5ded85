"""The published models that the shipped recipes begin with: shape, licence, and where both are stated.

Shapes are those of each model's `config.json`; with them memory is computed before anything is downloaded.
"""

from dataclasses import dataclass
from typing import Any, Literal

Use = Literal["commercial", "research"]
Shape = dict[str, Any]
"""Arguments of `transformers.AutoConfig.for_model`."""


@dataclass(frozen=True)
class BaseModel:
    """A model on the Hugging Face hub."""

    licence: str
    use: Use
    """research: the weights, or data that went into them, may not be used commercially."""
    source: str
    """Where the licence is stated."""
    config: Shape
    note: str = ""
    """What has to be known before one begins with it."""
    revision: str | None = None
    """A revision with safetensors, proposed by others than the publisher, where `main` has pickles alone."""


def _neox(layers: int, width: int, heads: int, vocabulary: int) -> Shape:
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


def _llama(
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


def _qwen3(layers: int, width: int, heads: int, inner: int, *, tied: bool = False) -> Shape:
    more = {"vocab_size": 151936, "head_dim": 128, "tie_word_embeddings": tied}
    return _llama("qwen3", layers, width, heads, 8, inner, 40960, **more)


def _qwen3_5(
    layers: int, width: int, heads: int, inner: int, value_heads: int, *, tied: bool = False
) -> Shape:
    """Of the text part, which is what training loads; three layers in four have linear attention."""
    more = {"vocab_size": 248320, "head_dim": 256, "tie_word_embeddings": tied}
    more |= {"linear_num_value_heads": value_heads}
    return _llama("qwen3_5_text", layers, width, heads, 4, inner, 262144, **more)


def _gemma3(layers: int, width: int, heads: int, kv_heads: int, inner: int, head: int) -> Shape:
    text = {"head_dim": head, "sliding_window": 1024, "tie_word_embeddings": True}
    vision = {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16}
    return {
        "model_type": "gemma3",
        "text_config": _llama("gemma3_text", layers, width, heads, kv_heads, inner, 131072, **text)
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


def _llama3(
    layers: int, width: int, heads: int, inner: int, *, tied: bool = False, head: int | None = None
) -> Shape:
    more = {"vocab_size": 128256, "tie_word_embeddings": tied, "head_dim": head or width // heads}
    return _llama("llama", layers, width, heads, 8, inner, 131072, **more)


def _card(model: str) -> str:
    return f"https://huggingface.co/{model}"


POLYGLOT_ROWS = 30080
"""Embedding rows; 30,003 of them have a token."""
KOALPACA_NOTE = (
    "The weights are published as Apache-2.0, but the KoAlpaca data behind them as CC BY-NC 4.0, and they "
    "were made with Naver's and OpenAI's services."
)
EXPERTS_NOTE = (
    "The experts are fused tensors that 4-bit quantisation leaves in 16 bits, so memory is far above a "
    "quarter; adapters go on the attention layers alone."
)
VISION_NOTE = "Reads images, too: its text part is tuned, and the merge keeps the rest as it is."
LINEAR_NOTE = (
    f"{VISION_NOTE} Without flash-linear-attention and causal-conv1d training is slow; not to be tuned on "
    "4-bit weights."
)
LLAMA_NOTE = (
    "Commercial use up to 700 million monthly users, under an acceptable-use policy; say that it was "
    "built with Llama, and begin the name of what you publish with Llama. The hub asks you to accept the "
    "licence first."
)
GEMMA_NOTE = (
    f"{VISION_NOTE} Commercial use under Google's list of forbidden uses, which goes with what you publish. "
    "The hub asks you to accept the licence first."
)
EXAONE_NOTE = (
    "NO COMMERCIAL USE: neither of the model nor of what is tuned from it, without a licence from LG AI "
    "Research."
)

BASE_MODELS: dict[str, BaseModel] = {
    "EleutherAI/polyglot-ko-1.3b": BaseModel(
        "Apache-2.0", "commercial", _card("EleutherAI/polyglot-ko-1.3b"), _neox(24, 2048, 16, POLYGLOT_ROWS)
    ),
    "EleutherAI/polyglot-ko-3.8b": BaseModel(
        "Apache-2.0", "commercial", _card("EleutherAI/polyglot-ko-3.8b"), _neox(32, 3072, 24, POLYGLOT_ROWS)
    ),
    "EleutherAI/polyglot-ko-5.8b": BaseModel(
        "Apache-2.0", "commercial", _card("EleutherAI/polyglot-ko-5.8b"), _neox(28, 4096, 16, POLYGLOT_ROWS)
    ),
    "EleutherAI/polyglot-ko-12.8b": BaseModel(
        "Apache-2.0", "commercial", _card("EleutherAI/polyglot-ko-12.8b"), _neox(40, 5120, 40, POLYGLOT_ROWS)
    ),
    "beomi/KoAlpaca-Polyglot-5.8B": BaseModel(
        "Apache-2.0, tuned on CC BY-NC 4.0 data",
        "research",
        "https://github.com/Beomi/KoAlpaca (DATA_LICENSE)",
        _neox(28, 4096, 16, POLYGLOT_ROWS),
        KOALPACA_NOTE,
    ),
    "beomi/KoAlpaca-Polyglot-12.8B": BaseModel(
        "Apache-2.0, tuned on CC BY-NC 4.0 data",
        "research",
        "https://github.com/Beomi/KoAlpaca (DATA_LICENSE)",
        _neox(40, 5120, 40, POLYGLOT_ROWS),
        KOALPACA_NOTE,
    ),
    "huggyllama/llama-13b": BaseModel(
        "LLaMA (non-commercial)",
        "research",
        "https://github.com/meta-llama/llama/blob/llama_v1/README.md",
        _llama("llama", 40, 5120, 40, 40, 13824, 2048),
        "Meta gives the weights on request; decapoda-research/llama-13b-hf, often named in their place, is "
        "gone from the hub and had wrong begin and end tokens.",
    ),
    "openlm-research/open_llama_13b": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("openlm-research/open_llama_13b"),
        _llama("llama", 40, 5120, 40, 40, 13824, 2048),
        revision="refs/pr/6",
    ),
    "meta-llama/Llama-2-13b-hf": BaseModel(
        "Llama 2 Community License",
        "commercial",
        "https://ai.meta.com/llama/license",
        _llama("llama", 40, 5120, 40, 40, 13824, 4096),
        "Commercial use up to 700 million monthly users, under an acceptable-use policy; the hub asks you to "
        "accept the licence first.",
    ),
    "mistralai/Mistral-7B-v0.1": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("mistralai/Mistral-7B-v0.1"),
        _llama("mistral", 32, 4096, 32, 8, 14336, 32768, sliding_window=4096),
    ),
    "upstage/SOLAR-10.7B-v1.0": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("upstage/SOLAR-10.7B-v1.0"),
        _llama("llama", 48, 4096, 32, 8, 14336, 4096),
        "SOLAR-10.7B-Instruct-v1.0 is another matter: CC BY-NC 4.0, research only.",
    ),
    "mistralai/Mixtral-8x7B-v0.1": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("mistralai/Mixtral-8x7B-v0.1"),
        _llama("mixtral", 32, 4096, 32, 8, 14336, 32768, num_local_experts=8, num_experts_per_tok=2),
        EXPERTS_NOTE,
    ),
    "Qwen/Qwen3-4B": BaseModel(
        "Apache-2.0", "commercial", _card("Qwen/Qwen3-4B"), _qwen3(36, 2560, 32, 9728, tied=True)
    ),
    "Qwen/Qwen3-8B": BaseModel(
        "Apache-2.0", "commercial", _card("Qwen/Qwen3-8B"), _qwen3(36, 4096, 32, 12288)
    ),
    "Qwen/Qwen3-14B": BaseModel(
        "Apache-2.0", "commercial", _card("Qwen/Qwen3-14B"), _qwen3(40, 5120, 40, 17408)
    ),
    "Qwen/Qwen3-32B": BaseModel(
        "Apache-2.0", "commercial", _card("Qwen/Qwen3-32B"), _qwen3(64, 5120, 64, 25600)
    ),
    "Qwen/Qwen3-30B-A3B": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3-30B-A3B"),
        _llama(
            "qwen3_moe",
            48,
            2048,
            32,
            4,
            6144,
            40960,
            vocab_size=151936,
            head_dim=128,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
        ),
        "Adapters go on the attention layers alone; its 128 experts in each layer are left as they are.",
    ),
    "Qwen/Qwen3.5-4B": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3.5-4B"),
        _qwen3_5(32, 2560, 16, 9216, 32, tied=True),
        LINEAR_NOTE,
    ),
    "Qwen/Qwen3.5-9B": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3.5-9B"),
        _qwen3_5(32, 4096, 16, 12288, 32),
        LINEAR_NOTE,
    ),
    "Qwen/Qwen3.5-27B": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3.5-27B"),
        _qwen3_5(64, 5120, 24, 17408, 48),
        LINEAR_NOTE,
    ),
    "google/gemma-3-4b-it": BaseModel(
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        _gemma3(34, 2560, 8, 4, 10240, 256),
        GEMMA_NOTE,
    ),
    "google/gemma-3-12b-it": BaseModel(
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        _gemma3(48, 3840, 16, 8, 15360, 256),
        GEMMA_NOTE,
    ),
    "google/gemma-3-27b-it": BaseModel(
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        _gemma3(62, 5376, 32, 16, 21504, 128),
        GEMMA_NOTE,
    ),
    "K-intelligence/Midm-2.0-Mini-Instruct": BaseModel(
        "MIT",
        "commercial",
        _card("K-intelligence/Midm-2.0-Mini-Instruct"),
        _llama(
            "llama", 48, 1792, 32, 8, 4608, 32768, vocab_size=131392, head_dim=128, tie_word_embeddings=True
        ),
    ),
    "meta-llama/Llama-3.2-3B-Instruct": BaseModel(
        "Llama 3.2 Community License",
        "commercial",
        "https://www.llama.com/llama3_2/license",
        _llama3(28, 3072, 24, 8192, tied=True),
        f"{LLAMA_NOTE} Its template tells today's date.",
    ),
    "meta-llama/Llama-3.3-70B-Instruct": BaseModel(
        "Llama 3.3 Community License",
        "commercial",
        "https://www.llama.com/llama3_3/license",
        _llama3(80, 8192, 64, 28672),
        LLAMA_NOTE,
    ),
    "meta-llama/Llama-3.1-8B-Instruct": BaseModel(
        "Llama 3.1 Community License",
        "commercial",
        "https://www.llama.com/llama3_1/license",
        _llama("llama", 32, 4096, 32, 8, 14336, 131072, vocab_size=128256),
        LLAMA_NOTE,
    ),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": BaseModel(
        "EXAONE AI Model License Agreement 1.2 - NC",
        "research",
        "https://huggingface.co/LGAI-EXAONE/EXAONE-4.0-1.2B/blob/main/LICENSE",
        _llama("exaone4", 30, 2048, 32, 8, 4096, 65536, vocab_size=102400, tie_word_embeddings=True),
        EXAONE_NOTE,
    ),
    "LGAI-EXAONE/EXAONE-4.0-32B": BaseModel(
        "EXAONE AI Model License Agreement 1.2 - NC",
        "research",
        "https://huggingface.co/LGAI-EXAONE/EXAONE-4.0-32B/blob/main/LICENSE",
        _llama("exaone4", 64, 5120, 40, 8, 27392, 131072, vocab_size=102400),
        EXAONE_NOTE,
    ),
    "EleutherAI/pythia-12b": BaseModel(
        "Apache-2.0", "commercial", _card("EleutherAI/pythia-12b"), _neox(36, 5120, 40, 50688)
    ),
    "databricks/dolly-v2-3b": BaseModel(
        "MIT",
        "commercial",
        _card("databricks/dolly-v2-3b"),
        _neox(32, 2560, 32, 50280),
        "Knows English; Korean takes several tokens for a syllable.",
        revision="01da2f90559f13cf1849b16f51a9fd52e70d406c",
    ),
    "bigscience/bloom-7b1": BaseModel(
        "BigScience BLOOM RAIL 1.0",
        "commercial",
        "https://huggingface.co/spaces/bigscience/license",
        {
            "model_type": "bloom",
            "vocab_size": 250880,
            "hidden_size": 4096,
            "n_layer": 30,
            "n_head": 32,
        },
        "Commercial use under the licence's list of forbidden uses. Korean was not among BLOOM's languages.",
    ),
    "EleutherAI/gpt-j-6b": BaseModel(
        "Apache-2.0",
        "commercial",
        _card("EleutherAI/gpt-j-6b"),
        {
            "model_type": "gptj",
            "vocab_size": 50400,
            "n_positions": 2048,
            "n_embd": 4096,
            "n_layer": 28,
            "n_head": 16,
            "rotary_dim": 64,
            "tie_word_embeddings": False,
        },
        "GPT4All-J's base. GPT4All's own prompts were answered by GPT-3.5, whose terms forbid competing "
        "models; take other rows for commercial use.",
        revision="refs/pr/40",
    ),
}
"""By hub id."""
