"""A run that is killed goes on to what it would have become."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from common.errors import UserError
from finetune.progress import Progress, silent
from finetune.recipes.load import load_recipe
from finetune.train.run import train
from finetune.train.write import LOG_FILE
from tests.support.killed_training import killed_mid_run
from tests.support.tiny_training import make_base

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# Dropout draws random numbers, accumulation holds half a step, a state is written in the middle of an epoch.
SETTINGS = (
    "data.0.split=null",
    "epochs=12",
    "batch_size=2",
    "gradient_accumulation=2",
    "lora.dropout=0.2",
    "checkpoint_every=3",
    "smoke_test=false",
    "validation=0.25",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def straight(folder: Path) -> Path:
    """The run that nobody interrupted."""
    train(load_recipe(folder / "tune.yaml", SETTINGS), folder / "straight", silent)
    return folder / "straight"


def log(output: Path) -> list[dict[str, Any]]:
    timed = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    entries = json.loads((output / LOG_FILE).read_text(encoding="utf-8"))
    return [
        {name: value for name, value in entry.items() if name not in timed}
        for entry in entries
        if "loss" in entry or "eval_loss" in entry
    ]


def test_a_run_killed_with_sigkill_goes_on_to_the_same_weights_and_losses(
    folder: Path, straight: Path
) -> None:
    recipe = load_recipe(folder / "tune.yaml", SETTINGS)
    killed_mid_run(folder / "tune.yaml", folder / "killed", *SETTINGS)
    assert [path.name for path in folder.glob(".killed.training/checkpoint-*")]
    told: list[Progress] = []
    train(recipe, folder / "killed", told.append)
    assert any("going on after step" in progress.detail for progress in told)
    assert log(folder / "killed") == log(straight)
    one, two = (load_file(folder / name / "adapter_model.safetensors") for name in ("straight", "killed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not list(folder.glob(".*.training")), "the state of a finished run is not removed"


def test_a_state_of_another_recipe_is_refused_and_thrown_away_on_demand(folder: Path) -> None:
    killed_mid_run(folder / "tune.yaml", folder / "other", *SETTINGS)
    changed = load_recipe(folder / "tune.yaml", [*SETTINGS, "epochs=1", "learning_rate=1e-4"])
    with pytest.raises(UserError, match="begun with another recipe"):
        train(changed, folder / "other", silent)
    assert list(folder.glob(".other.training/checkpoint-*/complete"))
    train(changed, folder / "other", silent, restart=True)
    assert (folder / "other").is_dir()
    assert not list(folder.glob(".other.training"))


def test_a_state_that_was_cut_off_while_it_was_written_is_not_gone_on_from(
    folder: Path, straight: Path
) -> None:
    killed_mid_run(folder / "tune.yaml", folder / "torn", *SETTINGS)
    state = folder / ".torn.training"
    torn = state / "checkpoint-999"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")
    train(load_recipe(folder / "tune.yaml", SETTINGS), folder / "torn", silent)
    assert log(folder / "torn") == log(straight)
