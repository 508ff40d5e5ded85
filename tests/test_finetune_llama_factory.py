"""LLaMA-Factory's training files become recipes, and what has no counterpart is told key by key."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from common.errors import UserError
from finetune.recipes.llamafactory_keys import BY_ITSELF, COUNTERPARTS, MISSING
from finetune.recipes.load import load_recipe
from kodolly.cli import root
from tests.support.llama_factory_keys import KEYS

ROOT = Path(__file__).parents[1]
SFT = {
    "model_name_or_path": "org/model",
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_rank": 16,
    "lora_target": "all",
    "dataset": "identity,alpaca_ko",
    "template": "qwen3",
    "cutoff_len": 1024,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "learning_rate": "1e-4",
    "num_train_epochs": 2.0,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "bf16": True,
    "val_size": 0.1,
    "output_dir": "saves/model/lora/sft",
}


def imported(folder: Path, **keys: Any) -> tuple[Any, str]:
    """(recipe, what was told)."""
    (folder / "theirs.yaml").write_text(yaml.safe_dump({**SFT, **keys}), encoding="utf-8")
    (folder / "ours.yaml").unlink(missing_ok=True)
    result = CliRunner().invoke(
        root, ["recipes", "import", str(folder / "theirs.yaml"), str(folder / "ours.yaml")]
    )
    if result.exception is not None:
        raise result.exception
    return load_recipe(folder / "ours.yaml"), result.output


def test_kto_with_batches_of_one_has_batches_of_two_and_as_many_rows_to_a_step(tmp_path: Path) -> None:
    recipe, told = imported(tmp_path, stage="kto", per_device_train_batch_size=1)
    assert (recipe.method, recipe.batch_size, recipe.gradient_accumulation) == ("kto", 2, 4)
    assert "per_device_train_batch_size" in told
    assert "`kodolly data convert --labels`" in told


def test_a_training_file_becomes_a_recipe(tmp_path: Path) -> None:
    recipe, told = imported(tmp_path)
    assert (recipe.name, recipe.method, recipe.base) == ("sft", "lora", "org/model")
    assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.targets) == (16, 32, "all-linear")
    assert (recipe.batch_size, recipe.gradient_accumulation, recipe.epochs) == (2, 8, 2)
    assert (recipe.learning_rate, recipe.schedule, recipe.warmup) == (1e-4, "cosine", 0.1)
    assert (recipe.max_length, recipe.validation, recipe.gradient_checkpointing) == (1024, 0.1, True)
    assert [source.path.name for source in recipe.data] == ["identity.rows.jsonl", "alpaca_ko.rows.jsonl"]
    assert ": not there" not in told


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"quantization_bit": 4}, {"method": "qlora", "quantize": "nf4"}),
        ({"finetuning_type": "full"}, {"method": "full"}),
        ({"stage": "pt", "finetuning_type": "full"}, {"method": "full", "packing": True}),
        ({"mask_history": True, "neat_packing": True}, {"learn": "last", "packing": True}),
        ({"use_dora": True, "loraplus_lr_ratio": 16.0}, {"lora.dora": True, "lora.plus": 16.0}),
        (
            {"stage": "dpo", "pref_ftx": 0.2},
            {"dpo.loss_type": ("sigmoid", "sft"), "dpo.loss_weights": (1, 0.2)},
        ),
        ({"stage": "dpo", "pref_loss": "orpo", "pref_beta": 0.3}, {"method": "orpo", "orpo.beta": 0.3}),
        ({"stage": "dpo", "pref_loss": "simpo", "simpo_gamma": 0.7}, {"method": "simpo", "simpo.gamma": 0.7}),
        ({"stage": "dpo", "quantization_bit": 4}, {"method": "dpo", "quantize": "nf4"}),
        ({"stage": "kto", "kto_rejected_weight": 1.5}, {"method": "kto", "kto.undesirable_weight": 1.5}),
        ({"early_stopping_steps": 3}, {"early_stopping": 3}),
        ({"save_strategy": "no", "val_size": 0}, {"checkpoint_every": "never"}),
    ],
)
def test_keys_have_their_counterparts(tmp_path: Path, keys: dict[str, Any], expected: dict[str, Any]) -> None:
    recipe, _told = imported(tmp_path, **keys)
    for path, value in expected.items():
        found = recipe
        for part in path.split("."):
            found = getattr(found, part)
        assert found == value, path


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"use_galore": True}, "use_galore: not there"),
        ({"adapter_name_or_path": "saves/x"}, "adapter_name_or_path: merge the adapter first"),
        ({"trust_remote_code": True}, "trust_remote_code: never"),
        ({"warmup_steps": 100}, "warmup_steps: write `warmup`"),
        ({"num_train_epochs": 2.5}, "num_train_epochs: epochs are whole"),
        ({"val_size": 200}, "val_size: write `validation`"),
        ({"lr_scheduler_type": "polynomial"}, "lr_scheduler_type: schedule is"),
        ({"quantization_bit": 8}, "quantization_bit: 4 bits alone"),
        ({"stage": "dpo", "pref_loss": "kto_pair"}, "pref_loss: kto_pair is not there"),
        ({"stage": "kto", "pref_ftx": 0.1}, "pref_ftx: kto learns no rows beside the verdicts"),
        ({"stage": "dpo", "pref_loss": "orpo", "pref_ftx": 0.1}, "pref_ftx: orpo learns the chosen answers"),
        ({"report_to": "swanlab"}, "report_to: swanlab: not there"),
        ({"key_of_tomorrow": 3}, "key_of_tomorrow: no key of a recipe"),
    ],
)
def test_what_has_no_counterpart_is_told(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    _recipe, told = imported(tmp_path, **keys)
    assert words in told
    assert f"# {words}" in (tmp_path / "ours.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"stage": "ppo"}, "stage ppo"),
        ({"finetuning_type": "freeze"}, "finetuning_type freeze"),
        ({"model_name_or_path": None}, "names no model_name_or_path"),
    ],
)
def test_what_is_no_training_here_is_refused(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        imported(tmp_path, **keys)
    assert not (tmp_path / "ours.yaml").exists()


def test_the_page_is_what_the_script_prints() -> None:
    loader = SourceFileLoader("document_llama_factory", str(ROOT / "scripts" / "document-llama-factory"))
    spec = importlib.util.spec_from_loader("document_llama_factory", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    assert (ROOT / "docs" / "from_llama_factory.md").read_text(encoding="utf-8") == module.page()


def test_every_key_of_theirs_has_a_row_on_the_page() -> None:
    page = (ROOT / "docs" / "from_llama_factory.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"\n| `{key}` |" not in page] == []


def test_a_key_stands_in_one_table() -> None:
    tables = [*COUNTERPARTS, *BY_ITSELF, *MISSING]
    assert len(tables) == len(set(tables))
