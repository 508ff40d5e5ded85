"""Each of today's architectures by the other methods: full, QLoRA and DPO, in its own chat template.

LoRA goes all the way to vLLM's answers in test_finetune_own_models.py. Here what comes out is a checkpoint
with the base's tensors and template, so that vLLM takes it as it takes the base.
"""

from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from common.checkpoint import read_card
from common.errors import UserError
from finetune.merge.lora import merge
from finetune.models.adapter import read_adapter
from finetune.progress import silent
from finetune.recipes.recipe import Recipe, validate_recipe
from finetune.train.run import train
from tests.support.own_models import OWN_MODELS, OwnModel, make_own_model, weather_rows
from tests.support.tiny_training import pair, write_rows

pytestmark = pytest.mark.slow
EXPERTS = ("Qwen3-MoE", "gpt-oss")
"""Their experts are held in one tensor, which bitsandbytes does not take apart."""
TEMPLATE = "chat_template.jinja"


def recipe(base: Path, method: str, data: Path, **more: Any) -> Recipe:
    return validate_recipe(
        {
            "name": f"own-{method}",
            "method": method,
            "base": str(base),
            "data": [{"path": str(data)}],
            "licence": "Apache-2.0",
            "max_length": 512,
            "batch_size": 4,
            "learning_rate": 3e-3,
            "dtype": "float32",
            "smoke_test": False,
            "checkpoint_every": "never",
            "report_to": [],
        }
        | more
    )


def tensors(directory: Path) -> dict[str, list[int]]:
    """Names and shapes."""
    found: dict[str, list[int]] = {}
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - no dict
    return found


@pytest.mark.parametrize("model", OWN_MODELS, ids=lambda model: model.name)
def test_full_qlora_and_dpo_make_what_the_base_was(model: OwnModel, tmp_path: Path) -> None:
    rows, pairs, lora = tmp_path / "rows.jsonl", tmp_path / "pairs.jsonl", {"rank": 32, "alpha": 32}
    base = make_own_model(model, tmp_path, weather_rows(model.template))
    write_rows(pairs, [pair(number) for number in range(4)])
    train(recipe(base, "full", rows, epochs=40, learning_rate=2e-3), tmp_path / "full", silent)
    card = read_card(tmp_path / "full")
    assert card is not None
    assert card.metrics["loss"] < 0.1
    made = [tmp_path / "full", merged(recipe(base, "dpo", pairs, epochs=8, lora=lora), tmp_path, most=0.1)]
    qlora = recipe(base, "qlora", rows, epochs=40, lora=lora)
    if model.name in EXPERTS:
        with pytest.raises(UserError, match="experts are fused"):
            merged(qlora, tmp_path, most=0.1)
    else:
        made.append(merged(qlora, tmp_path, most=0.1))
    for checkpoint in made:
        assert tensors(checkpoint) == tensors(base)
        assert (checkpoint / TEMPLATE).read_text() == (base / TEMPLATE).read_text()


def merged(recipe: Recipe, folder: Path, most: float) -> Path:
    """The adapter of the recipe, trained to at most this loss, in its base; the merge proves it equal."""
    adapter = folder / recipe.method
    train(recipe, adapter, silent)
    assert read_adapter(adapter).card.metrics["loss"] < most
    merge(adapter, folder / f"{recipe.method}-merged", silent)
    return folder / f"{recipe.method}-merged"
