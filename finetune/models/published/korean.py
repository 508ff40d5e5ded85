"""Models that were made for Korean."""

from finetune.models.published.model import PublishedModel, model_card
from finetune.models.published.shapes import llama, mixture_of_latents, neox

POLYGLOT_ROWS = 30080
"""Embedding rows; 30,003 of them have a token."""
KOALPACA_NOTE = (
    "The weights are published as Apache-2.0, but the KoAlpaca data behind them as CC BY-NC 4.0, and they "
    "were made with Naver's and OpenAI's services."
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

KOREAN_MODELS: dict[str, PublishedModel] = {
    "EleutherAI/polyglot-ko-1.3b": PublishedModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        model_card("EleutherAI/polyglot-ko-1.3b"),
        neox(24, 2048, 16, POLYGLOT_ROWS),
    ),
    "EleutherAI/polyglot-ko-3.8b": PublishedModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        model_card("EleutherAI/polyglot-ko-3.8b"),
        neox(32, 3072, 24, POLYGLOT_ROWS),
    ),
    "EleutherAI/polyglot-ko-5.8b": PublishedModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        model_card("EleutherAI/polyglot-ko-5.8b"),
        neox(28, 4096, 16, POLYGLOT_ROWS),
    ),
    "EleutherAI/polyglot-ko-12.8b": PublishedModel(
        "Polyglot-Ko",
        "Apache-2.0",
        "commercial",
        model_card("EleutherAI/polyglot-ko-12.8b"),
        neox(40, 5120, 40, POLYGLOT_ROWS),
    ),
    "beomi/KoAlpaca-Polyglot-5.8B": PublishedModel(
        "Polyglot-Ko",
        "Apache-2.0, tuned on CC BY-NC 4.0 data",
        "research",
        "https://github.com/Beomi/KoAlpaca (DATA_LICENSE)",
        neox(28, 4096, 16, POLYGLOT_ROWS),
        KOALPACA_NOTE,
    ),
    "beomi/KoAlpaca-Polyglot-12.8B": PublishedModel(
        "Polyglot-Ko",
        "Apache-2.0, tuned on CC BY-NC 4.0 data",
        "research",
        "https://github.com/Beomi/KoAlpaca (DATA_LICENSE)",
        neox(40, 5120, 40, POLYGLOT_ROWS),
        KOALPACA_NOTE,
    ),
    "upstage/SOLAR-10.7B-v1.0": PublishedModel(
        "SOLAR",
        "Apache-2.0",
        "commercial",
        model_card("upstage/SOLAR-10.7B-v1.0"),
        llama("llama", 48, 4096, 32, 8, 14336, 4096),
        "SOLAR-10.7B-Instruct-v1.0 is another matter: CC BY-NC 4.0, research only.",
    ),
    "K-intelligence/Midm-2.0-Mini-Instruct": PublishedModel(
        "Mi:dm",
        "MIT",
        "commercial",
        model_card("K-intelligence/Midm-2.0-Mini-Instruct"),
        llama(
            "llama", 48, 1792, 32, 8, 4608, 32768, vocab_size=131392, head_dim=128, tie_word_embeddings=True
        ),
    ),
    "LGAI-EXAONE/EXAONE-4.0-1.2B": PublishedModel(
        "EXAONE",
        "EXAONE AI Model License Agreement 1.2 - NC",
        "research",
        "https://huggingface.co/LGAI-EXAONE/EXAONE-4.0-1.2B/blob/main/LICENSE",
        llama("exaone4", 30, 2048, 32, 8, 4096, 65536, vocab_size=102400, tie_word_embeddings=True),
        EXAONE_NOTE,
    ),
    "LGAI-EXAONE/EXAONE-4.0-32B": PublishedModel(
        "EXAONE",
        "EXAONE AI Model License Agreement 1.2 - NC",
        "research",
        "https://huggingface.co/LGAI-EXAONE/EXAONE-4.0-32B/blob/main/LICENSE",
        llama("exaone4", 64, 5120, 40, 8, 27392, 131072, vocab_size=102400),
        EXAONE_NOTE,
    ),
    "skt/A.X-4.0-Light": PublishedModel(
        "A.X",
        "Apache-2.0",
        "commercial",
        model_card("skt/A.X-4.0-Light"),
        llama("qwen2", 28, 3584, 28, 4, 18944, 16384, vocab_size=102400, tie_word_embeddings=False),
        "Grown from Qwen2.5: pass its NOTICE on with what you publish; A.X stays SK Telecom's trademark.",
    ),
    "kakaocorp/kanana-1.5-8b-instruct-2505": PublishedModel(
        "Kanana",
        "Apache-2.0",
        "commercial",
        model_card("kakaocorp/kanana-1.5-8b-instruct-2505"),
        llama("llama", 32, 4096, 32, 8, 14336, 32768, vocab_size=128256, tie_word_embeddings=False),
    ),
    "kakaocorp/kanana-2-3b-instruct": PublishedModel(
        "Kanana",
        "Kanana Open License",
        "commercial",
        "https://huggingface.co/kakaocorp/kanana-2-3b-instruct/blob/main/LICENSE",
        llama(
            "qwen3", 32, 2560, 32, 8, 8192, 32768, vocab_size=128256, head_dim=128, tie_word_embeddings=False
        ),
        KANANA_NOTE,
    ),
    "kakaocorp/kanana-2-30b-a3b-instruct-2601": PublishedModel(
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
    "naver-hyperclovax/HyperCLOVAX-SEED-Think-14B": PublishedModel(
        "HyperCLOVA X",
        "HyperCLOVA X SEED Model License Agreement",
        "commercial",
        "https://huggingface.co/naver-hyperclovax/HyperCLOVAX-SEED-Think-14B/blob/main/LICENSE",
        llama("hyperclovax", 38, 6144, 48, 8, 14336, 131072, vocab_size=110592, head_dim=128),
        "Commercial use, but NAVER's own permission is needed above 10 million monthly users or for what "
        "competes with NAVER; say that it is powered by HyperCLOVA X and pass the licence on.",
    ),
    "K-intelligence/Midm-2.0-Base-Instruct": PublishedModel(
        "Mi:dm",
        "MIT",
        "commercial",
        model_card("K-intelligence/Midm-2.0-Base-Instruct"),
        llama(
            "llama", 48, 4096, 32, 8, 14336, 32768, vocab_size=131392, head_dim=128, tie_word_embeddings=False
        ),
    ),
}
"""By hub id."""
