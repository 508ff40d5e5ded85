"""The published models that the shipped recipes begin with: shape, licence, and where both are stated.

Shapes are those of each model's `config.json`; with them memory is computed before anything is downloaded.
"""

from dataclasses import dataclass
from typing import Literal

from finetune.models.shapes import (
    Shape,
    gemma3,
    gemma4,
    gemma4_unified,
    llama,
    llama3,
    ministral3,
    mixture_of_latents,
    neox,
    qwen3,
    qwen3_5,
)

Use = Literal["commercial", "research"]


@dataclass(frozen=True)
class BaseModel:
    """A model on the Hugging Face hub."""

    family: str
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
GEMMA4_NOTE = (
    f"{VISION_NOTE} Apache-2.0, with Google's list of forbidden uses beside it. The template has changed "
    "several times: train and serve with the one that your checkpoint holds."
)
MINISTRAL_NOTE = (
    f"{VISION_NOTE} Take the copy in 16 bits (-BF16): no adapter can be merged into the one in 8 bits."
)
KANANA_NOTE = (
    "Free for services of your own: say that they are powered by Kanana, and begin the name of what you "
    "publish with Kanana. To offer it to others (as an API, on their premises, in devices) takes a contract "
    "with Kakao."
)
EXAONE_NOTE = (
    "NO COMMERCIAL USE: neither of the model nor of what is tuned from it, without a licence from LG AI "
    "Research."
)

BASE_MODELS: dict[str, BaseModel] = {
    "EleutherAI/polyglot-ko-1.3b": BaseModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        _card("EleutherAI/polyglot-ko-1.3b"),
        neox(24, 2048, 16, POLYGLOT_ROWS),
    ),
    "EleutherAI/polyglot-ko-3.8b": BaseModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        _card("EleutherAI/polyglot-ko-3.8b"),
        neox(32, 3072, 24, POLYGLOT_ROWS),
    ),
    "EleutherAI/polyglot-ko-5.8b": BaseModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        _card("EleutherAI/polyglot-ko-5.8b"),
        neox(28, 4096, 16, POLYGLOT_ROWS),
    ),
    "EleutherAI/polyglot-ko-12.8b": BaseModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        _card("EleutherAI/polyglot-ko-12.8b"),
        neox(40, 5120, 40, POLYGLOT_ROWS),
    ),
    "beomi/KoAlpaca-Polyglot-5.8B": BaseModel(
        "Polyglot-Ko",
        "Apache-2.0, tuned on CC BY-NC 4.0 data",
        "research",
        "https://github.com/Beomi/KoAlpaca (DATA_LICENSE)",
        neox(28, 4096, 16, POLYGLOT_ROWS),
        KOALPACA_NOTE,
    ),
    "beomi/KoAlpaca-Polyglot-12.8B": BaseModel(
        "Polyglot-Ko",
        "Apache-2.0, tuned on CC BY-NC 4.0 data",
        "research",
        "https://github.com/Beomi/KoAlpaca (DATA_LICENSE)",
        neox(40, 5120, 40, POLYGLOT_ROWS),
        KOALPACA_NOTE,
    ),
    "huggyllama/llama-13b": BaseModel(
        "Llama",
        "LLaMA (non-commercial)",
        "research",
        "https://github.com/meta-llama/llama/blob/llama_v1/README.md",
        llama("llama", 40, 5120, 40, 40, 13824, 2048),
        "Meta gives the weights on request; decapoda-research/llama-13b-hf, often named in their place, is "
        "gone from the hub and had wrong begin and end tokens.",
    ),
    "openlm-research/open_llama_13b": BaseModel(
        "Llama",
        "Apache-2.0",
        "commercial",
        _card("openlm-research/open_llama_13b"),
        llama("llama", 40, 5120, 40, 40, 13824, 2048),
        revision="refs/pr/6",
    ),
    "meta-llama/Llama-2-13b-hf": BaseModel(
        "Llama",
        "Llama 2 Community License",
        "commercial",
        "https://ai.meta.com/llama/license",
        llama("llama", 40, 5120, 40, 40, 13824, 4096),
        "Commercial use up to 700 million monthly users, under an acceptable-use policy; the hub asks you to "
        "accept the licence first.",
    ),
    "mistralai/Mistral-7B-v0.1": BaseModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        _card("mistralai/Mistral-7B-v0.1"),
        llama("mistral", 32, 4096, 32, 8, 14336, 32768, sliding_window=4096),
    ),
    "upstage/SOLAR-10.7B-v1.0": BaseModel(
        "SOLAR",
        "Apache-2.0",
        "commercial",
        _card("upstage/SOLAR-10.7B-v1.0"),
        llama("llama", 48, 4096, 32, 8, 14336, 4096),
        "SOLAR-10.7B-Instruct-v1.0 is another matter: CC BY-NC 4.0, research only.",
    ),
    "mistralai/Mixtral-8x7B-v0.1": BaseModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        _card("mistralai/Mixtral-8x7B-v0.1"),
        llama("mixtral", 32, 4096, 32, 8, 14336, 32768, num_local_experts=8, num_experts_per_tok=2),
        EXPERTS_NOTE,
    ),
    "Qwen/Qwen3-4B": BaseModel(
        "Qwen3", "Apache-2.0", "commercial", _card("Qwen/Qwen3-4B"), qwen3(36, 2560, 32, 9728, tied=True)
    ),
    "Qwen/Qwen3-8B": BaseModel(
        "Qwen3", "Apache-2.0", "commercial", _card("Qwen/Qwen3-8B"), qwen3(36, 4096, 32, 12288)
    ),
    "Qwen/Qwen3-14B": BaseModel(
        "Qwen3", "Apache-2.0", "commercial", _card("Qwen/Qwen3-14B"), qwen3(40, 5120, 40, 17408)
    ),
    "Qwen/Qwen3-32B": BaseModel(
        "Qwen3", "Apache-2.0", "commercial", _card("Qwen/Qwen3-32B"), qwen3(64, 5120, 64, 25600)
    ),
    "Qwen/Qwen3-30B-A3B": BaseModel(
        "Qwen3",
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3-30B-A3B"),
        llama(
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
        "Qwen3.5",
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3.5-4B"),
        qwen3_5(32, 2560, 16, 9216, 32, tied=True),
        LINEAR_NOTE,
    ),
    "Qwen/Qwen3.5-9B": BaseModel(
        "Qwen3.5",
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3.5-9B"),
        qwen3_5(32, 4096, 16, 12288, 32),
        LINEAR_NOTE,
    ),
    "Qwen/Qwen3.5-27B": BaseModel(
        "Qwen3.5",
        "Apache-2.0",
        "commercial",
        _card("Qwen/Qwen3.5-27B"),
        qwen3_5(64, 5120, 24, 17408, 48),
        LINEAR_NOTE,
    ),
    "google/gemma-3-4b-it": BaseModel(
        "Gemma",
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        gemma3(34, 2560, 8, 4, 10240, 256),
        GEMMA_NOTE,
    ),
    "google/gemma-3-12b-it": BaseModel(
        "Gemma",
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        gemma3(48, 3840, 16, 8, 15360, 256),
        GEMMA_NOTE,
    ),
    "google/gemma-3-27b-it": BaseModel(
        "Gemma",
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        gemma3(62, 5376, 32, 16, 21504, 128),
        GEMMA_NOTE,
    ),
    "K-intelligence/Midm-2.0-Mini-Instruct": BaseModel(
        "Mi:dm",
        "MIT",
        "commercial",
        _card("K-intelligence/Midm-2.0-Mini-Instruct"),
        llama(
            "llama", 48, 1792, 32, 8, 4608, 32768, vocab_size=131392, head_dim=128, tie_word_embeddings=True
        ),
    ),
    "meta-llama/Llama-3.2-3B-Instruct": BaseModel(
        "Llama",
        "Llama 3.2 Community License",
        "commercial",
        "https://www.llama.com/llama3_2/license",
        llama3(28, 3072, 24, 8192, tied=True),
        f"{LLAMA_NOTE} Its template tells today's date.",
    ),
    "meta-llama/Llama-3.3-70B-Instruct": BaseModel(
        "Llama",
        "Llama 3.3 Community License",
        "commercial",
        "https://www.llama.com/llama3_3/license",
        llama3(80, 8192, 64, 28672),
        LLAMA_NOTE,
    ),
    "meta-llama/Llama-3.1-8B-Instruct": BaseModel(
        "Llama",
        "Llama 3.1 Community License",
        "commercial",
        "https://www.llama.com/llama3_1/license",
        llama("llama", 32, 4096, 32, 8, 14336, 131072, vocab_size=128256),
        LLAMA_NOTE,
    ),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": BaseModel(
        "EXAONE",
        "EXAONE AI Model License Agreement 1.2 - NC",
        "research",
        "https://huggingface.co/LGAI-EXAONE/EXAONE-4.0-1.2B/blob/main/LICENSE",
        llama("exaone4", 30, 2048, 32, 8, 4096, 65536, vocab_size=102400, tie_word_embeddings=True),
        EXAONE_NOTE,
    ),
    "LGAI-EXAONE/EXAONE-4.0-32B": BaseModel(
        "EXAONE",
        "EXAONE AI Model License Agreement 1.2 - NC",
        "research",
        "https://huggingface.co/LGAI-EXAONE/EXAONE-4.0-32B/blob/main/LICENSE",
        llama("exaone4", 64, 5120, 40, 8, 27392, 131072, vocab_size=102400),
        EXAONE_NOTE,
    ),
    "EleutherAI/pythia-12b": BaseModel(
        "GPT-NeoX and GPT-J",
        "Apache-2.0",
        "commercial",
        _card("EleutherAI/pythia-12b"),
        neox(36, 5120, 40, 50688),
    ),
    "databricks/dolly-v2-3b": BaseModel(
        "GPT-NeoX and GPT-J",
        "MIT",
        "commercial",
        _card("databricks/dolly-v2-3b"),
        neox(32, 2560, 32, 50280),
        "Knows English; Korean takes several tokens for a syllable.",
        revision="01da2f90559f13cf1849b16f51a9fd52e70d406c",
    ),
    "bigscience/bloom-7b1": BaseModel(
        "BLOOM",
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
        "GPT-NeoX and GPT-J",
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
    "skt/A.X-4.0-Light": BaseModel(
        "A.X",
        "Apache-2.0",
        "commercial",
        _card("skt/A.X-4.0-Light"),
        llama("qwen2", 28, 3584, 28, 4, 18944, 16384, vocab_size=102400, tie_word_embeddings=False),
        "Grown from Qwen2.5: pass its NOTICE on with what you publish; A.X stays SK Telecom's trademark.",
    ),
    "kakaocorp/kanana-1.5-8b-instruct-2505": BaseModel(
        "Kanana",
        "Apache-2.0",
        "commercial",
        _card("kakaocorp/kanana-1.5-8b-instruct-2505"),
        llama("llama", 32, 4096, 32, 8, 14336, 32768, vocab_size=128256, tie_word_embeddings=False),
    ),
    "kakaocorp/kanana-2-3b-instruct": BaseModel(
        "Kanana",
        "Kanana Open License",
        "commercial",
        "https://huggingface.co/kakaocorp/kanana-2-3b-instruct/blob/main/LICENSE",
        llama(
            "qwen3", 32, 2560, 32, 8, 8192, 32768, vocab_size=128256, head_dim=128, tie_word_embeddings=False
        ),
        KANANA_NOTE,
    ),
    "kakaocorp/kanana-2-30b-a3b-instruct-2601": BaseModel(
        "Kanana",
        "Kanana Open License",
        "commercial",
        "https://huggingface.co/kakaocorp/kanana-2-30b-a3b-instruct-2601/blob/main/LICENSE",
        mixture_of_latents(
            48,
            2048,
            32,
            6144,
            vocab_size=128256,
            n_routed_experts=128,
            n_shared_experts=2,
            num_experts_per_tok=6,
            moe_intermediate_size=768,
        ),
        f"{KANANA_NOTE} Adapters go on the attention layers alone.",
    ),
    "naver-hyperclovax/HyperCLOVAX-SEED-Think-14B": BaseModel(
        "HyperCLOVA X",
        "HyperCLOVA X SEED Model License Agreement",
        "commercial",
        "https://huggingface.co/naver-hyperclovax/HyperCLOVAX-SEED-Think-14B/blob/main/LICENSE",
        llama("hyperclovax", 38, 6144, 48, 8, 14336, 131072, vocab_size=110592, head_dim=128),
        "Commercial use, but NAVER's own permission is needed above 10 million monthly users or for what "
        "competes with NAVER; say that it is powered by HyperCLOVA X and pass the licence on.",
    ),
    "google/gemma-4-E4B-it": BaseModel(
        "Gemma",
        "Apache-2.0",
        "commercial",
        "https://ai.google.dev/gemma/docs/gemma_4_license",
        gemma4(
            llama(
                "gemma4_text",
                42,
                2560,
                8,
                2,
                10240,
                131072,
                sliding_window=512,
                num_kv_shared_layers=18,
                hidden_size_per_layer_input=256,
            )
            | {"vocab_size": 262144},
            {},
            audio=True,
        ),
        GEMMA4_NOTE,
    ),
    "google/gemma-4-31B-it": BaseModel(
        "Gemma",
        "Apache-2.0",
        "commercial",
        "https://ai.google.dev/gemma/docs/gemma_4_license",
        gemma4(
            llama(
                "gemma4_text",
                60,
                5376,
                32,
                16,
                21504,
                262144,
                sliding_window=1024,
                num_kv_shared_layers=0,
                hidden_size_per_layer_input=0,
                attention_k_eq_v=True,
                num_global_key_value_heads=4,
            )
            | {"vocab_size": 262144},
            {
                "hidden_size": 1152,
                "num_hidden_layers": 27,
                "num_attention_heads": 16,
                "num_key_value_heads": 16,
                "head_dim": 72,
                "intermediate_size": 4304,
                "standardize": True,
            },
            audio=False,
        ),
        GEMMA4_NOTE,
    ),
    "K-intelligence/Midm-2.0-Base-Instruct": BaseModel(
        "Mi:dm",
        "MIT",
        "commercial",
        _card("K-intelligence/Midm-2.0-Base-Instruct"),
        llama(
            "llama", 48, 4096, 32, 8, 14336, 32768, vocab_size=131392, head_dim=128, tie_word_embeddings=False
        ),
    ),
    "unsloth/gpt-oss-20b-BF16": BaseModel(
        "gpt-oss",
        "Apache-2.0",
        "commercial",
        _card("openai/gpt-oss-20b"),
        llama(
            "gpt_oss",
            24,
            2880,
            64,
            8,
            2880,
            131072,
            vocab_size=201088,
            head_dim=64,
            num_local_experts=32,
            tie_word_embeddings=False,
        ),
        "OpenAI publishes gpt-oss in 4 bits alone, into which no adapter can be merged; this is another's "
        "copy in 16 bits. Adapters go on the attention layers alone. OpenAI's usage policy applies.",
    ),
    "mistralai/Mistral-Nemo-Instruct-2407": BaseModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        _card("mistralai/Mistral-Nemo-Instruct-2407"),
        llama("mistral", 40, 5120, 32, 8, 14336, 131072, vocab_size=131072, head_dim=128),
    ),
    "mistralai/Mistral-Small-24B-Instruct-2501": BaseModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        _card("mistralai/Mistral-Small-24B-Instruct-2501"),
        llama("mistral", 40, 5120, 32, 8, 32768, 32768, vocab_size=131072, head_dim=128),
        "The last Mistral Small of text alone.",
    ),
    "google/gemma-4-12B-it": BaseModel(
        "Gemma",
        "Apache-2.0",
        "commercial",
        "https://ai.google.dev/gemma/docs/gemma_4_license",
        gemma4_unified(48, 3840, 16, 8, 15360),
        GEMMA4_NOTE,
    ),
    "mistralai/Ministral-3-3B-Instruct-2512-BF16": BaseModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        _card("mistralai/Ministral-3-3B-Instruct-2512-BF16"),
        ministral3(26, 3072, 9216, tied=True),
        MINISTRAL_NOTE,
    ),
    "mistralai/Ministral-3-8B-Instruct-2512-BF16": BaseModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        _card("mistralai/Ministral-3-8B-Instruct-2512-BF16"),
        ministral3(34, 4096, 14336),
        MINISTRAL_NOTE,
    ),
}
"""By hub id."""
