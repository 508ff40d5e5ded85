"""Tiny random models of classes that read images, too: (name of the class, the model)."""

import transformers

from tests.support.own_models import INST, LAYERS, LINEAR, SHAPE, TURNS, XML, OwnModel

VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
GEMMA3 = (
    "Gemma3ForConditionalGeneration",
    OwnModel(
        "gemma3",
        "",
        TURNS,
        lambda size: transformers.Gemma3Config(
            text_config={**SHAPE, "vocab_size": size},
            vision_config={**VISION, "image_size": 28, "patch_size": 14},
            mm_tokens_per_image=4,
        ),
    ),
)
QWEN35 = (
    "Qwen3_5ForConditionalGeneration",
    OwnModel(
        "qwen3.5",
        "",
        XML,
        lambda size: transformers.Qwen3_5Config(
            text_config={
                **SHAPE,
                **LINEAR,
                "vocab_size": size,
            },
            vision_config={
                "depth": 1,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "out_hidden_size": SHAPE["hidden_size"],
                "num_position_embeddings": 16,
            },
        ),
    ),
)
MISTRAL3 = (
    "Mistral3ForConditionalGeneration",
    OwnModel(
        "mistral3",
        "",
        INST,
        lambda size: transformers.Mistral3Config(
            text_config={
                **SHAPE,
                "model_type": "ministral3",
                "vocab_size": size,
                "tie_word_embeddings": False,
            },
            vision_config={
                **VISION,
                "model_type": "pixtral",
                "head_dim": 16,
                "image_size": 28,
                "patch_size": 14,
            },
        ),
    ),
)
GEMMA4 = (
    "Gemma4UnifiedForConditionalGeneration",
    OwnModel(
        "gemma4",
        "",
        TURNS,
        lambda size: transformers.Gemma4UnifiedConfig(
            text_config={**SHAPE, "vocab_size": size, "layer_types": LAYERS, "global_head_dim": 64},
            vision_config={"patch_size": 2, "mm_embed_dim": 128, "output_proj_dims": 128},
            audio_config={"audio_embed_dim": 8},
        ),
    ),
)
