"""What a run shows before it begins, and what it refuses to begin."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, MixtralConfig, TrainingArguments

from common.errors import UserError
from finetune.encoding.encode import IGNORED
from finetune.models.load import add_adapter
from finetune.models.memory import plan_memory
from finetune.models.precision import choose_precision
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import Recipe, validate_recipe
from finetune.recipes.template_choice import choose_template
from finetune.train import preflight
from finetune.train.arguments import on_one_device
from finetune.train.batches import Padder
from finetune.train.overfit_check import smoke_test
from finetune.train.run import train
from finetune.train.run_state import RunState
from finetune.train.sequences import gather
from finetune.train.session import TrainingSession
from tests.support.processes import kodolly
from tests.support.random_models import Shape, random_model
from tests.support.tiny_training import LORA, make_base, row, tokenizer_of, write_rows
from tests.support.tuned_card import CARD

pytestmark = pytest.mark.slow


def recipe_of(**settings: Any) -> Recipe:
    values = {"name": "x", "method": "lora", "base": "b", "data": [{"path": "rows.jsonl"}], **settings}
    return validate_recipe(values)


NEOX_12B = GPTNeoXConfig(
    vocab_size=30080, hidden_size=5120, num_hidden_layers=40, num_attention_heads=40, intermediate_size=20480
)


# Without a model


SMALL = Shape(vocab_size=320, hidden_size=32, num_hidden_layers=3, num_attention_heads=2)


@pytest.mark.parametrize(
    "config",
    [
        GPTNeoXConfig(**SMALL, intermediate_size=64),
        MixtralConfig(**SMALL, num_key_value_heads=1, num_local_experts=4, intermediate_size=64),
    ],
    ids=["NeoX", "fused experts"],
)
def test_the_memory_plan_counts_weights_gradients_and_moments_exactly(config: Any) -> None:
    model = random_model(config)
    weights = sum(weight.numel() for weight in model.parameters())
    full = plan_memory(config, recipe_of(method="full"), longest=10, compute_bytes=4)
    assert (full.weights, full.gradients, full.optimizer) == (4 * weights, 4 * weights, 8 * weights)
    recipe = recipe_of(lora={"rank": 4})
    trained = [p for p in add_adapter(model, recipe.lora).parameters() if p.requires_grad]
    count = sum(weight.numel() for weight in trained)
    lora = plan_memory(config, recipe, longest=10, compute_bytes=4)
    assert (lora.weights, lora.gradients, lora.optimizer) == (4 * (weights + count), 4 * count, 8 * count)


def test_the_plan_of_a_12_billion_model_orders_the_methods_as_they_are() -> None:
    def total(method: str, **settings: Any) -> float:
        plan = plan_memory(NEOX_12B, recipe_of(method=method, **settings), longest=512, compute_bytes=2)
        return plan.total / 1e9

    assert total("full") > 220, "16 bytes a weight, and half-precision copies"
    assert 24 < total("lora", batch_size=1, gradient_checkpointing=True) < 32
    assert 7 < total("qlora", batch_size=1, gradient_checkpointing=True) < 13
    assert total("lora", batch_size=8) > 1.5 * total("lora", batch_size=8, gradient_checkpointing=True)


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_room", lambda: (24 * 10**9, "this machine"))


def test_what_has_no_room_is_refused_and_what_is_tight_is_told(small_machine: None) -> None:
    def check(shares: int = 1, **settings: Any) -> preflight.Fact:
        plan = plan_memory(NEOX_12B, recipe_of(**settings), longest=512, compute_bytes=2)
        return preflight.check_memory(plan, shares)

    with pytest.raises(UserError, match=r"needs .* GB before the first row; this machine has 24.0 GB"):
        check(method="full")
    assert "gradient_checkpointing" in check(method="qlora", batch_size=16).warning
    assert not check(method="qlora", batch_size=1, gradient_checkpointing=True).warning
    assert check(16, method="full")  # on sixteen devices there is room


def test_a_run_of_one_process_stays_on_one_of_several_gpus(tmp_path: Path) -> None:
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, per_device_train_batch_size=2)
    args._n_gpu = 4  # as transformers finds them
    assert args.train_batch_size == 8
    on_one_device(args)
    assert (args.n_gpu, args.train_batch_size) == (1, 2)


def test_a_result_that_does_not_fit_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    fits = preflight.check_disk(tmp_path / "out", 10**8, 10**6, recipe_of())
    assert "1.0 GB free" in fits.value
    with pytest.raises(UserError, match="1.0 GB free; the result takes 2.0 GB"):
        preflight.check_disk(tmp_path / "out", 2 * 10**9, 10**6, recipe_of())
    with pytest.raises(UserError, match="states of a run"):
        preflight.check_disk(tmp_path / "out", 10**8, 10**9, recipe_of())
    preflight.check_disk(tmp_path / "out", 10**8, 10**9, recipe_of(checkpoint_every="never"))


def test_a_sequence_longer_than_the_models_positions_is_refused() -> None:
    with pytest.raises(UserError, match="2100 tokens; the model has 2048 positions"):
        preflight.check_length(2100, NEOX_12B)
    preflight.check_length(2048, NEOX_12B)


def test_a_licence_is_the_recipes_or_the_bases_or_refused() -> None:
    card = CARD.model_copy(update={"licence": "CC-BY-NC-4.0"})
    assert preflight.licence_of(recipe_of(licence="Apache-2.0"), card) == "Apache-2.0"
    assert preflight.licence_of(recipe_of(), card) == "CC-BY-NC-4.0"
    with pytest.raises(UserError, match="does not say its licence"):
        preflight.licence_of(recipe_of(), None)


def test_a_reporter_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Callable[[str], Any] = lambda _name: None  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", nothing)
    with pytest.raises(UserError, match="names wandb, which is not installed"):
        preflight.refuse_recipe(recipe_of(report_to=["wandb"]), None)


# With the tiny base


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight")
    make_base(folder)
    return folder


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_dry_run_shows_rows_counts_memory_disk_and_time_and_leaves_nothing(folder: Path) -> None:
    before = files(folder)
    argv = kodolly("train", "tune.yaml", "--dry-run", "--output", "out")
    done = subprocess.run(argv, capture_output=True, text=True, cwd=folder, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    shown = done.stderr
    assert shown.count("⟦") == shown.count("⟧") == 3
    assert "오늘 점심을 추천해 주세요.\n\n### Response:\n⟦마마마<|endoftext|>⟧" in shown
    for name in (
        "template",
        "licence",
        "data",
        "tokens",
        "stop token",
        "steps",
        "precision",
        "memory",
        "disk",
    ):
        assert re.search(rf"^  {name} +\S", shown, re.MULTILINE), name
    assert "40 of 4 sequences (1 an epoch, 40 epochs)" in shown
    assert re.search(r"time +stops after 4 of 4 rows learnt by heart in \d+ passes; about \d+ s", shown)
    assert (done.stdout, files(folder)) == ("", before)


def test_the_smoke_test_refuses_a_model_that_cannot_stop_and_leaves_no_trace(folder: Path) -> None:
    base = folder / "random-base"
    shutil.copytree(folder / "tiny-base", base)
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(0)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    model.save_pretrained(base)
    recipe = load_recipe(folder / "tune.yaml", [f"base={base}", "lora.rank=16"])
    with pytest.raises(UserError, match=r"the model stops after \d+% of them, not after all"):
        train(recipe, folder / "refused", silent)
    assert not [name for name in files(folder) if "refused" in name]


def test_the_smoke_test_puts_weights_and_chance_back(folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(folder / "tune.yaml", ["lora.dropout=0.1"])
    tokenizer = tokenizer_of(folder / "tiny-base")
    rows = gather(recipe, tokenizer, tmp_path, silent)
    base = AutoModelForCausalLM.from_pretrained(folder / "tiny-base", dtype=torch.float32)
    model = add_adapter(base, recipe.lora)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chance = torch.get_rng_state()
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    session = TrainingSession(
        recipe,
        choose_template(recipe),
        tokenizer,
        model,
        choose_precision(recipe),
        RunState(tmp_path, None),
        silent,
    )
    seen = smoke_test(session, rows.train, (1e-3, 1e-2))
    assert (seen.rows, seen.stop_rate) == (4, 1.0)
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    ids, labels = rows.train.sequence(0)
    assert Padder(pad)([{"input_ids": ids, "labels": labels}])["labels"][0, -1] == end != IGNORED


def test_a_base_tuned_with_another_prompt_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="trained with the template 'dolly', not 'kullm'"):
        train(load_recipe(folder / "tune.yaml", ["template=kullm"]), folder / "no", silent, dry_run=True)


def test_rows_left_out_for_their_length_are_told_when_they_are_many(folder: Path, tmp_path: Path) -> None:
    rows = [row(number, "tune") for number in range(8)]
    rows[3]["instruction"] += " 아주 길게 이야기해 주세요." * 30
    write_rows(tmp_path / "rows.jsonl", rows)
    (tmp_path / "tune.yaml").write_text(
        LORA.replace("base: tiny-base", f"base: {folder / 'tiny-base'}"), encoding="utf-8"
    )
    shown: list[str] = []
    settings = ["max_length=120", "smoke_test=false"]
    recipe = load_recipe(tmp_path / "tune.yaml", settings)
    train(recipe, tmp_path / "out", silent, dry_run=True, show=shown.append)
    assert "7 sequences, 1 longer than 120 tokens left out" in shown[-1]
    assert "! 12% of the rows are left out" in shown[-1]
    assert json.loads((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[3])
