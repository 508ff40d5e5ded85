"""Models that read images, too: their text part is tuned, and the merge keeps the rest as it was."""

import json
import re
from pathlib import Path

import pytest
import torch
from peft import PeftConfig
from safetensors.torch import load_file
from transformers import AutoConfig

from finetune.export import likeness
from finetune.export.fp8 import SERVED, export_fp8
from finetune.merge.lora import merge
from finetune.models.load import add_adapter
from finetune.progress import silent
from finetune.recipes.sections import Lora
from finetune.train.run import train
from tests.support.own_models import SHAPE, OwnModel, make_own_model, recipe_of, weather_rows
from tests.support.random_models import random_model
from tests.support.vision_models import GEMMA3, GEMMA4, MISTRAL3, QWEN35

pytestmark = pytest.mark.slow

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
    config = AutoConfig.from_pretrained(tmp_path / "merged")
    assert config.architectures == [kind]
    for name, values in FILES.items():
        kept = json.loads((tmp_path / "merged" / name).read_text(encoding="utf-8"))
        # A processor's own template would be taken before the one that training saw.
        assert kept == {key: value for key, value in values.items() if key != "chat_template"}
    # With it vLLM would take Mistral's tokenizer and no chat template at all.
    assert not (tmp_path / "merged" / "tekken.json").exists()
    assert PeftConfig.from_pretrained(str(tmp_path / "adapter")).target_modules
    if config.model_type in SERVED:
        check_fp8(tmp_path / "merged", tmp_path / "fp8")


def check_fp8(merged: Path, output: Path) -> None:
    """The text part alone is rounded in an fp8 export, and vLLM is told so of the layers for images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "LOWEST", 0.1)  # it has learnt next to nothing
        export_fp8(merged, output, silent)
    before, after = vision_tensors(merged), vision_tensors(output)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    config = json.loads((output / "config.json").read_text(encoding="utf-8"))
    left = set(config["quantization_config"]["ignore"])
    layers = {name for name, tensor in before.items() if tensor.ndim == 2 and name.endswith(".weight")}
    assert {name.removesuffix(".weight") for name in layers} <= left
    stored = load_file(output / "model.safetensors")
    rounded = {name for name, tensor in stored.items() if tensor.dtype == torch.float8_e4m3fn}
    assert len(rounded) == 7 * SHAPE["num_hidden_layers"]
    assert all("language_model" in name for name in rounded)
    patterns = [each.removeprefix("re:") for each in left if each.startswith("re:")]
    assert not [name for name in rounded for pattern in patterns if re.match(pattern, name)]
    assert not {name.removesuffix(".weight") for name in rounded} & left
    # vLLM puts a level between that the files do not have.
    inner = "vision_tower.vision_model.encoder.layers.0.mlp.fc1"
    assert any(re.match(pattern, inner) for pattern in patterns) is any(
        "vision_tower" in each for each in before
    )
