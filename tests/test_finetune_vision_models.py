"""Models that read images, too: their text part is tuned, and the merge keeps the rest as it was."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from peft import PeftConfig
from safetensors.torch import load_file
from transformers import AutoConfig

from finetune.merge.lora import merge
from finetune.models.load import add_adapter
from finetune.progress import silent
from finetune.recipes.sections import Lora
from finetune.train.run import train
from tests.support.own_models import (
    INST,
    LAYERS,
    LINEAR,
    SHAPE,
    TURNS,
    XML,
    OwnModel,
    make_own_model,
    recipe_of,
    weather_rows,
)
from tests.support.random_models import random_model

pytestmark = pytest.mark.slow

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
FILES: dict[str, dict[str, object]] = {
    "preprocessor_config.json": {"image_processor_type": "TinyImageProcessor", "size": {"height": 28}},
    "processor_config.json": {"processor_class": "TinyProcessor", "chat_template": "another one"},
}


def vision_tensors(directory: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor
        for name, tensor in load_file(directory / "model.safetensors").items()
        if "vision" in name or "visual" in name or "multi_modal" in name
    }


def test_adapters_lie_on_the_text_part_alone() -> None:
    config = GEMMA3[1].config(300)
    with torch.device("meta"):
        model = random_model(config)
        names = [name for name, _ in add_adapter(model, Lora(rank=4, alpha=4)).named_parameters()]
    adapted = [name for name in names if "lora_" in name]
    assert adapted
    assert all(".language_model." in name for name in adapted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "model"),
    [GEMMA3, GEMMA4, QWEN35, MISTRAL3],
    ids=["Gemma 3", "Gemma 4", "Qwen3.5", "Ministral 3"],
)
def test_a_merge_keeps_what_reads_images(kind: str, model: OwnModel, tmp_path: Path) -> None:
    base = make_own_model(model, tmp_path, weather_rows(model.template), kind)
    for name, values in FILES.items():
        (base / name).write_text(json.dumps(values), encoding="utf-8")
    (base / "tekken.json").write_text("{}", encoding="utf-8")
    train(recipe_of(model, base, tmp_path / "rows.jsonl", epochs=3), tmp_path / "adapter", silent)
    merge(tmp_path / "adapter", tmp_path / "merged", silent)
    before, after = vision_tensors(base), vision_tensors(tmp_path / "merged")
    assert len(before) >= 8
    assert {name: tensor.tolist() for name, tensor in after.items()} == {
        name: tensor.tolist() for name, tensor in before.items()
    }
    texts = [load_file(each / "model.safetensors") for each in (base, tmp_path / "merged")]
    assert texts[0].keys() == texts[1].keys()
    assert any(not torch.equal(tensor, texts[1][name]) for name, tensor in texts[0].items())
    assert AutoConfig.from_pretrained(tmp_path / "merged").architectures == [kind]
    for name, values in FILES.items():
        kept = json.loads((tmp_path / "merged" / name).read_text(encoding="utf-8"))
        # A processor's own template would be taken before the one that training saw.
        assert kept == {key: value for key, value in values.items() if key != "chat_template"}
    # With it vLLM would take Mistral's tokenizer and no chat template at all.
    assert not (tmp_path / "merged" / "tekken.json").exists()
    assert PeftConfig.from_pretrained(str(tmp_path / "adapter")).target_modules
