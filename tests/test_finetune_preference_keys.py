"""Recipes of KTO, ORPO, SimPO and DPO's other losses: what their keys cannot mean is refused."""

from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.recipes.load import load_recipe
from tests.support.preference_recipes import preference_recipe

RECIPE = preference_recipe("kto", "labelled.jsonl")


def recipe_file(folder: Path) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.yaml"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["batch_size=1"], "needs batch_size 2 or more"),
        (["learn=all"], "on its last answer"),
        (["packing=true"], "takes rows with a label"),
        (["kto.beta=0"], "greater than 0"),
        (["kto.lossType=kto"], "Did you mean 'loss_type'"),
        (["method=dpo", "dpo.loss_weights=[1, 0.2]"], "one weight for each"),
        (["method=dpo", "dpo.loss_type=sft"], "method lora does that"),
        (["method=dpo", "dpo.loss_type=[sigmoid, sigmoid]"], "each of them once"),
        (
            ["method=dpo", "dpo.loss_type=ipo", "dpo.label_smoothing=0.1"],
            "losses sigmoid, robust and exo_pair",
        ),
        (["method=dpo", "dpo.loss_type=exo_pair"], "above 0"),
        (["method=dpo", "dpo.ld_alpha=2"], "less than or equal to 1"),
        (["method=orpo", "text=[t.txt]"], "takes pairs in `data`"),
        (["method=simpo", "simpo.gamma=-1"], "greater than or equal to 0"),
        (["method=ktoo"], "is one of pretrain"),
    ],
)
def test_what_the_losses_cannot_do_is_refused(tmp_path: Path, settings: list[str], words: str) -> None:
    with pytest.raises(UserError) as refused:
        load_recipe(recipe_file(tmp_path), settings)
    assert words in f"{refused.value} {refused.value.hint}"


def test_one_loss_may_be_named_without_a_list_and_kto_without_neighbours_takes_single_rows(
    tmp_path: Path,
) -> None:
    dpo = load_recipe(recipe_file(tmp_path), ["method=dpo", "dpo.loss_type=robust"])
    section: Any = dpo.card_dict()["dpo"]
    assert section["loss_type"] == ["robust"]
    assert "kto" not in dpo.card_dict(), "sections of other methods are no part of what was trained"
    alone = ["kto.loss_type=apo_zero_unpaired", "batch_size=1"]
    assert load_recipe(recipe_file(tmp_path), alone).batch_size == 1
