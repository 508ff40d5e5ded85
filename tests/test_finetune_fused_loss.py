"""Losses without the logits of all tokens: Liger's kernel, run by Triton's interpreter, and TRL's tiles."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import (
    GPTNeoXConfig,
    LlamaConfig,
)

from common.errors import UserError
from finetune.models.loss_kernels import refuse_fused_loss
from finetune.models.memory import WeightSizes, plan_counted
from finetune.recipes.recipe import Recipe, validate_recipe
from tests.support.random_models import Shape

pytestmark = pytest.mark.slow
SMALL = Shape(vocab_size=320, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)


def recipe(**settings: Any) -> Recipe:
    values = {"name": "x", "method": "lora", "base": "b", "data": [{"path": "rows.jsonl"}], "liger": True}
    return validate_recipe(values | settings)


def base(folder: Path, config: Any) -> Path:
    """A base of which only the configuration is there."""
    config.save_pretrained(folder / "base")
    return folder / "base"


@pytest.fixture(scope="module")
def by_liger(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Liger's kernels gave on this CPU: Triton asks for its interpreter when it is first imported."""
    argv = [sys.executable, "-m", "tests.support.liger_on_cpu", str(tmp_path_factory.mktemp("liger"))]
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("method", ["full", "lora"])
def test_ligers_loss_and_gradients_are_those_of_all_logits(by_liger: dict[str, Any], method: str) -> None:
    plain, fused = by_liger[method]["plain"], by_liger[method]["fused"]
    assert fused["no_logits"]
    assert not plain["no_logits"]
    assert fused["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert fused["gradients"].keys() == plain["gradients"].keys()
    for name, gradient in fused["gradients"].items():
        assert gradient == pytest.approx(plain["gradients"][name], rel=1e-3, abs=1e-6), name


def test_a_run_by_liger_has_the_losses_of_one_without(by_liger: dict[str, Any]) -> None:
    plain, fused = by_liger["runs"]["plain"], by_liger["runs"]["fused"]
    assert "Liger's, without the logits of all tokens" in fused["shown"]
    assert "without the logits" not in plain["shown"]
    assert len(plain["losses"]) >= 4
    assert fused["losses"] == pytest.approx(plain["losses"], rel=1e-3)


def test_what_liger_cannot_do_is_one_line_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama = base(tmp_path, LlamaConfig(**SMALL, intermediate_size=64))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    refuse_fused_loss(recipe(), llama, in_parts=False)
    with pytest.raises(UserError, match="models that each device holds whole"):
        refuse_fused_loss(recipe(), llama, in_parts=True)
    with pytest.raises(
        UserError, match=r"the output embedding \(lm_head\), whose adapter the loss of method"
    ):
        refuse_fused_loss(recipe(lora={"targets": ["q_proj", "lm_head"]}), llama, in_parts=False)
    with pytest.raises(UserError, match="Liger has no loss for gpt_neox"):
        refuse_fused_loss(recipe(), base(tmp_path, GPTNeoXConfig(**SMALL)), in_parts=False)
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(UserError, match="needs a GPU"):
        refuse_fused_loss(recipe(), llama, in_parts=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match="liger-kernel, which is not installed") as refused:
        refuse_fused_loss(recipe(), llama, in_parts=False)
    assert "pip install liger-kernel" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"new_tokens": ["<|x|>"]}, "trains the rows of new_tokens beside it"),
        ({"method": "dpo"}, "never holds the logits of all tokens as it is"),
        ({"method": "kto"}, "never holds the logits of all tokens as it is"),
        (
            {
                "method": "pretrain",
                "base": None,
                "architecture": {"layers": 1, "width": 8, "heads": 1, "vocabulary": 300},
            },
            "a GPT-NeoX, for which Liger has no loss",
        ),
    ],
)
def test_recipes_for_which_liger_means_nothing_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        recipe(**settings)


@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_an_adapter_on_the_output_embedding_would_learn_nothing_of_preferences(
    method: str, tmp_path: Path
) -> None:
    asked = recipe(method=method, liger=False, lora={"targets": ["query_key_value", "lm_head"]})
    with pytest.raises(
        UserError, match=rf"lm_head\), whose adapter the loss of method {method} would not see"
    ):
        refuse_fused_loss(asked, base(tmp_path, GPTNeoXConfig(**SMALL)), in_parts=False)


def test_the_memory_plan_knows_which_logits_are_held() -> None:
    size = WeightSizes(
        total=4 * 10**9,
        linear=3 * 10**9,
        adapter=10**7,
        experts=0,
        layers=32,
        passed=2 * 10**6,
        normed=10**5,
        width=2560,
        vocabulary=248_320,
    )

    def logits(**settings: Any) -> float:
        asked = recipe(batch_size=8, max_length=2048, **settings)
        return plan_counted(size, asked, longest=2048, compute_bytes=2).logits / 1e9

    assert logits(liger=False) == pytest.approx(8 * 2048 * 248_320 * 14 / 1e9)
    assert 0.2 < logits() < 0.6
    assert logits(method="full") == pytest.approx(logits() + 2560 * 248_320 * 4 / 1e9)
    assert 0.5 < logits(method="dpo", liger=False) < 0.8
