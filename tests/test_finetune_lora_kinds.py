"""rsLoRA, DoRA, LoRA+ and NEFTune: keys of a recipe that reach PEFT and the optimiser, and can be merged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPTNeoXConfig, PreTrainedModel, TrainingArguments

from finetune.merge.lora import merge
from finetune.models.load import add_adapter
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.recipes.sections import Lora
from finetune.train.loop import OrderedTrainer
from finetune.train.run import train
from tests.support.random_models import random_model
from tests.support.tiny_training import make_base

pytestmark = pytest.mark.slow


def tiny() -> PreTrainedModel:
    return random_model(
        GPTNeoXConfig(
            vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        )
    )


def test_keys_reach_the_adapter() -> None:
    adapted: Any = add_adapter(tiny(), Lora(rank=4, alpha=8, rslora=True, dora=True))
    attention = adapted.base_model.model.gpt_neox.layers[0].attention.dense
    assert attention.scaling["default"] == 8 / 4**0.5
    assert "default" in attention.lora_magnitude_vector


def test_lora_plus_raises_the_rate_of_the_output_side_alone(tmp_path: Path) -> None:
    model = add_adapter(tiny(), Lora(rank=4))
    args = TrainingArguments(output_dir=str(tmp_path), learning_rate=1e-3, use_cpu=True, report_to="none")
    trainer = OrderedTrainer(model=model, args=args)
    trainer.lora_plus = 16
    names = {id(weight): name for name, weight in model.named_parameters()}
    rates = {
        names[id(weight)]: group["lr"]
        for group in trainer.create_optimizer().param_groups
        for weight in group["params"]
    }
    assert len(rates) == sum(weight.requires_grad for weight in model.parameters())
    assert all(rate == (16e-3 if "lora_B" in name else 1e-3) for name, rate in rates.items())


def test_all_of_them_train_and_merge(tmp_path: Path) -> None:
    make_base(tmp_path)
    keys = ["lora.rslora=true", "lora.dora=true", "lora.plus=4", "neftune=5", "epochs=4", "smoke_test=false"]
    train(load_recipe(tmp_path / "tune.yaml", keys), tmp_path / "adapter", silent)
    merge(tmp_path / "adapter", tmp_path / "merged", silent)  # proves itself against PEFT's arithmetic
    before = load_file(tmp_path / "tiny-base" / "model.safetensors")
    after = load_file(tmp_path / "merged" / "model.safetensors")
    changed = [name for name in before if not torch.equal(before[name].float(), after[name].float())]
    assert changed
    assert all("weight" in name for name in changed)
