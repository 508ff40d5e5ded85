"""Models that were made for English or for many languages."""

from finetune.models.published.model import PublishedModel, model_card
from finetune.models.published.shapes import (
    gemma3,
    gemma4,
    gemma4_unified,
    llama,
    llama3,
    ministral3,
    neox,
    qwen3,
    qwen3_5,
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

INTERNATIONAL_MODELS: dict[str, PublishedModel] = {
    "huggyllama/llama-13b": PublishedModel(
        "Llama",
        "LLaMA (non-commercial)",
        "research",
        "https://github.com/meta-llama/llama/blob/llama_v1/README.md",
        llama("llama", 40, 5120, 40, 40, 13824, 2048),
        "Meta gives the weights on request; decapoda-research/llama-13b-hf, often named in their place, is "
        "gone from the hub and had wrong begin and end tokens.",
    ),
    "openlm-research/open_llama_13b": PublishedModel(
        "Llama",
        "Apache-2.0",
        "commercial",
        model_card("openlm-research/open_llama_13b"),
        llama("llama", 40, 5120, 40, 40, 13824, 2048),
        revision="refs/pr/6",
    ),
    "meta-llama/Llama-2-13b-hf": PublishedModel(
        "Llama",
        "Llama 2 Community License",
        "commercial",
        "https://ai.meta.com/llama/license",
        llama("llama", 40, 5120, 40, 40, 13824, 4096),
        "Commercial use up to 700 million monthly users, under an acceptable-use policy; the hub asks you to "
        "accept the licence first.",
    ),
    "mistralai/Mistral-7B-v0.1": PublishedModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        model_card("mistralai/Mistral-7B-v0.1"),
        llama("mistral", 32, 4096, 32, 8, 14336, 32768, sliding_window=4096),
    ),
    "mistralai/Mixtral-8x7B-v0.1": PublishedModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        model_card("mistralai/Mixtral-8x7B-v0.1"),
        llama("mixtral", 32, 4096, 32, 8, 14336, 32768, num_local_experts=8, num_experts_per_tok=2),
        EXPERTS_NOTE,
    ),
    "Qwen/Qwen3-4B": PublishedModel(
        "Qwen3", "Apache-2.0", "commercial", model_card("Qwen/Qwen3-4B"), qwen3(36, 2560, 32, 9728, tied=True)
    ),
    "Qwen/Qwen3-8B": PublishedModel(
        "Qwen3", "Apache-2.0", "commercial", model_card("Qwen/Qwen3-8B"), qwen3(36, 4096, 32, 12288)
    ),
    "Qwen/Qwen3-14B": PublishedModel(
        "Qwen3", "Apache-2.0", "commercial", model_card("Qwen/Qwen3-14B"), qwen3(40, 5120, 40, 17408)
    ),
    "Qwen/Qwen3-32B": PublishedModel(
        "Qwen3", "Apache-2.0", "commercial", model_card("Qwen/Qwen3-32B"), qwen3(64, 5120, 64, 25600)
    ),
    "Qwen/Qwen3-Embedding-0.6B": PublishedModel(
        "Qwen3",
        "Apache-2.0",
        "commercial",
        model_card("Qwen/Qwen3-Embedding-0.6B"),
        qwen3(28, 1024, 16, 3072, tied=True, vocabulary=151669),
    ),
    "Qwen/Qwen3-30B-A3B": PublishedModel(
        "Qwen3",
        "Apache-2.0",
        "commercial",
        model_card("Qwen/Qwen3-30B-A3B"),
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
    "Qwen/Qwen3.5-4B": PublishedModel(
        "Qwen3.5",
        "Apache-2.0",
        "commercial",
        model_card("Qwen/Qwen3.5-4B"),
        qwen3_5(32, 2560, 16, 9216, 32, tied=True),
        LINEAR_NOTE,
    ),
    "Qwen/Qwen3.5-9B": PublishedModel(
        "Qwen3.5",
        "Apache-2.0",
        "commercial",
        model_card("Qwen/Qwen3.5-9B"),
        qwen3_5(32, 4096, 16, 12288, 32),
        LINEAR_NOTE,
    ),
    "Qwen/Qwen3.5-27B": PublishedModel(
        "Qwen3.5",
        "Apache-2.0",
        "commercial",
        model_card("Qwen/Qwen3.5-27B"),
        qwen3_5(64, 5120, 24, 17408, 48),
        LINEAR_NOTE,
    ),
    "google/gemma-3-4b-it": PublishedModel(
        "Gemma",
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        gemma3(34, 2560, 8, 4, 10240, 256),
        GEMMA_NOTE,
    ),
    "google/gemma-3-12b-it": PublishedModel(
        "Gemma",
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        gemma3(48, 3840, 16, 8, 15360, 256),
        GEMMA_NOTE,
    ),
    "google/gemma-3-27b-it": PublishedModel(
        "Gemma",
        "Gemma Terms of Use",
        "commercial",
        "https://ai.google.dev/gemma/terms",
        gemma3(62, 5376, 32, 16, 21504, 128),
        GEMMA_NOTE,
    ),
    "meta-llama/Llama-3.2-3B-Instruct": PublishedModel(
        "Llama",
        "Llama 3.2 Community License",
        "commercial",
        "https://www.llama.com/llama3_2/license",
        llama3(28, 3072, 24, 8192, tied=True),
        f"{LLAMA_NOTE} Its template tells today's date.",
    ),
    "meta-llama/Llama-3.3-70B-Instruct": PublishedModel(
        "Llama",
        "Llama 3.3 Community License",
        "commercial",
        "https://www.llama.com/llama3_3/license",
        llama3(80, 8192, 64, 28672),
        LLAMA_NOTE,
    ),
    "meta-llama/Llama-3.1-8B-Instruct": PublishedModel(
        "Llama",
        "Llama 3.1 Community License",
        "commercial",
        "https://www.llama.com/llama3_1/license",
        llama("llama", 32, 4096, 32, 8, 14336, 131072, vocab_size=128256),
        LLAMA_NOTE,
    ),
    "EleutherAI/pythia-12b": PublishedModel(
        "GPT-NeoX and GPT-J",
        "Apache-2.0",
        "commercial",
        model_card("EleutherAI/pythia-12b"),
        neox(36, 5120, 40, 50688),
    ),
    "databricks/dolly-v2-3b": PublishedModel(
        "GPT-NeoX and GPT-J",
        "MIT",
        "commercial",
        model_card("databricks/dolly-v2-3b"),
        neox(32, 2560, 32, 50280),
        "Knows English; Korean takes several tokens for a syllable.",
        revision="01da2f90559f13cf1849b16f51a9fd52e70d406c",
    ),
    "bigscience/bloom-7b1": PublishedModel(
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
    "EleutherAI/gpt-j-6b": PublishedModel(
        "GPT-NeoX and GPT-J",
        "Apache-2.0",
        "commercial",
        model_card("EleutherAI/gpt-j-6b"),
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
    "google/gemma-4-E4B-it": PublishedModel(
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
    "google/gemma-4-31B-it": PublishedModel(
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
    "unsloth/gpt-oss-20b-BF16": PublishedModel(
        "gpt-oss",
        "Apache-2.0",
        "commercial",
        model_card("openai/gpt-oss-20b"),
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
    "mistralai/Mistral-Nemo-Instruct-2407": PublishedModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        model_card("mistralai/Mistral-Nemo-Instruct-2407"),
        llama("mistral", 40, 5120, 32, 8, 14336, 131072, vocab_size=131072, head_dim=128),
    ),
    "mistralai/Mistral-Small-24B-Instruct-2501": PublishedModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        model_card("mistralai/Mistral-Small-24B-Instruct-2501"),
        llama("mistral", 40, 5120, 32, 8, 32768, 32768, vocab_size=131072, head_dim=128),
        "The last Mistral Small of text alone.",
    ),
    "google/gemma-4-12B-it": PublishedModel(
        "Gemma",
        "Apache-2.0",
        "commercial",
        "https://ai.google.dev/gemma/docs/gemma_4_license",
        gemma4_unified(48, 3840, 16, 8, 15360),
        GEMMA4_NOTE,
    ),
    "mistralai/Ministral-3-3B-Instruct-2512-BF16": PublishedModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        model_card("mistralai/Ministral-3-3B-Instruct-2512-BF16"),
        ministral3(26, 3072, 9216, tied=True),
        MINISTRAL_NOTE,
    ),
    "mistralai/Ministral-3-8B-Instruct-2512-BF16": PublishedModel(
        "Mistral",
        "Apache-2.0",
        "commercial",
        model_card("mistralai/Ministral-3-8B-Instruct-2512-BF16"),
        ministral3(34, 4096, 14336),
        MINISTRAL_NOTE,
    ),
}
"""By hub id."""
