"""QLoRA: 4-bit weights below the adapter (on a CPU here), new tokens, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, MixtralConfig

from common.errors import UserError
from finetune.merge.lora import merge
from finetune.models.adapter import read_adapter
from finetune.models.load import load_for_training
from finetune.models.precision import choose_precision
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import AdapterTuning
from finetune.train.preflight import refuse_recipe
from finetune.train.run import train
from finetune.train.write import LOG_FILE
from tests.support.random_models import random_model
from tests.support.tiny_training import QUESTIONS, answer, make_base, tokenizer_of

pytestmark = pytest.mark.slow
QLORA = ("method=qlora", "lora.rank=32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qlora")
    make_base(folder)
    return folder


def test_the_base_is_held_in_nf4_and_the_output_layer_is_not(folder: Path) -> None:
    recipe = load_recipe(folder / "tune.yaml", QLORA)
    assert isinstance(recipe, AdapterTuning)
    model: Any = load_for_training(folder / "tiny-base", recipe, choose_precision(recipe))
    layers = {
        name: type(module).__name__ for name, module in model.named_modules() if "Linear" in str(type(module))
    }
    assert layers.pop("embed_out" if "embed_out" in layers else "lm_head") == "Linear"
    assert set(layers.values()) == {"Linear4bit"}
    weight = model.gpt_neox.layers[0].mlp.dense_h_to_4h.weight
    assert weight.quant_type == "nf4"
    assert weight.quant_state.nested, "the scales are quantised, too"
    assert weight.numel() * weight.element_size() * 2 == 64 * 256, "half a byte for each weight"


def test_a_qlora_run_is_learnt_by_the_model_that_it_is_merged_into(folder: Path) -> None:
    settings = (*QLORA, "validation.path=rows.jsonl", "validation.split=tune", "checkpoint_every=20")
    recipe = load_recipe(folder / "tune.yaml", [s.replace("rows", str(folder / "rows")) for s in settings])
    train(recipe, folder / "adapter", silent)
    card = read_adapter(folder / "adapter")
    assert card.card.method == "qlora"
    assert card.card.metrics["validation_loss"] < 0.1
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    merge(folder / "adapter", folder / "merged", silent)
    model = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32)
    tokenizer = tokenizer_of(folder / "merged")
    assert [answer(model, tokenizer, QUESTIONS[n]) for n in range(4, 8)] == [
        ("가나다라마바사아"[n] * 3, True) for n in range(4, 8)
    ]


def test_new_tokens_are_trained_on_both_sides_and_end_answers(folder: Path) -> None:
    tokens = ("new_tokens=['<|im_start|>','<|im_end|>']", "end_token='<|im_end|>'", "template=chatml")
    # The base is ours and knows another prompt, so its card goes.
    base = folder / "foreign-base"
    base.mkdir()
    for path in (folder / "tiny-base").iterdir():
        if path.name != "kodolly.json":
            (base / path.name).write_bytes(path.read_bytes())
    recipe = load_recipe(folder / "tune.yaml", [*tokens, f"base={base}", "licence=Apache-2.0", "epochs=60"])
    train(recipe, folder / "chatml", silent)
    card = read_adapter(folder / "chatml")
    tokenizer = tokenizer_of(folder / "chatml")
    ids = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    rows = plain.get_input_embeddings().weight.shape[0]
    assert ids == [rows, rows + 1]
    assert (card.end_token, card.vocabulary_rows) == ("<|im_end|>", -(-(rows + 2) // 64) * 64)
    deltas = {
        name: value
        for name, value in load_file(folder / "chatml" / "adapter_model.safetensors").items()
        if "trainable_tokens" in name
    }
    assert len(deltas) == 2, "input and output embedding"
    assert all(len(value) == 2 for value in deltas.values())
    torch.manual_seed(recipe.seed)
    plain.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64)
    model = PeftModel.from_pretrained(plain, folder / "chatml").eval()
    assert answer(model, tokenizer, QUESTIONS[5]) == ("바바바", True)


def test_experts_that_would_stay_in_16_bits_are_refused(folder: Path) -> None:
    config = MixtralConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=2,
    )
    base = folder / "mixtral"
    random_model(config).save_pretrained(base)
    tokenizer_of(folder / "tiny-base").save_pretrained(base)
    settings = [*QLORA, f"base={base}", "licence=Apache-2.0"]
    with pytest.raises(UserError, match="experts of this model .* stay in 16 bits"):
        train(load_recipe(folder / "tune.yaml", settings), folder / "no", silent, dry_run=True)


def test_without_bitsandbytes_a_recipe_for_4_bits_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(folder / "tune.yaml", QLORA)
    found: Any = lambda name: None if name == "bitsandbytes" else object()  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", found)
    with pytest.raises(UserError, match="need bitsandbytes"):
        refuse_recipe(recipe, folder / "tiny-base")


def test_the_log_has_loss_gradient_norm_and_rate_of_every_step(folder: Path) -> None:
    recipe = load_recipe(folder / "tune.yaml", [*QLORA, "epochs=2", "smoke_test=false"])
    train(recipe, folder / "logged", silent)
    steps = [e for e in json.loads((folder / "logged" / LOG_FILE).read_text()) if "loss" in e]
    assert [step["step"] for step in steps] == [1, 2]
    assert all({"grad_norm", "learning_rate"} <= step.keys() for step in steps)
