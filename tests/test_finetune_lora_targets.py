"""`lora.targets` that the base lacks are told in a line, from its configuration alone."""

from pathlib import Path
from typing import Any, TypedDict

import pytest
from click.testing import CliRunner
from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, MixtralConfig

from common.errors import UserError
from finetune.models.lora_targets import check_targets
from finetune.models.shipped_recipes import shipped_path
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import validate_recipe
from finetune.recipes.sections import Lora
from finetune.train.preflight import refuse_recipe
from kodolly.cli import root
from tests.support.random_models import Shape

pytestmark = pytest.mark.slow


class Ends(TypedDict):
    """Ids of the tokens that begin, end and fill a sequence."""

    bos_token_id: int
    eos_token_id: int
    pad_token_id: int


SMALL = Shape(vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
ENDS = Ends(bos_token_id=1, eos_token_id=2, pad_token_id=0)
NEOX = GPTNeoXConfig(**SMALL, **ENDS, intermediate_size=64)
LLAMA = LlamaConfig(**SMALL, **ENDS, num_key_value_heads=1, intermediate_size=64)
MIXTRAL = MixtralConfig(**SMALL, **ENDS, num_key_value_heads=1, num_local_experts=4, intermediate_size=64)
GPT2 = GPT2Config(**ENDS, vocab_size=320, n_embd=32, n_layer=2, n_head=2)
NEOX_HAS = "It has query_key_value, dense, dense_h_to_4h, dense_4h_to_h (or all-linear)."


def base(folder: Path, config: Any = NEOX) -> Path:
    """A base of which only the configuration is there."""
    config.save_pretrained(folder / "base")
    return folder / "base"


@pytest.mark.parametrize(
    ("config", "targets", "said"),
    [
        (NEOX, ["q_proj", "v_proj"], f"The base has no layer q_proj, v_proj. {NEOX_HAS}"),
        (NEOX, ["query_key_value", "dens"], f"The base has no layer dens. {NEOX_HAS}"),
        (NEOX, ["attention"], f"attention of the base cannot carry an adapter. {NEOX_HAS}"),
        (NEOX, ["dense", "input_layernorm"], "input_layernorm of the base cannot carry an adapter. "),
        (NEOX, ["layers.9.attention.dense"], "The base has no layer layers.9.attention.dense. "),
        (NEOX, [], f"lora.targets names no layer. {NEOX_HAS}"),
        (
            LLAMA,
            ["query_key_value"],
            "The base has no layer query_key_value. It has q_proj, k_proj, v_",
        ),
        (MIXTRAL, ["q_proj", "q_porj"], "The base has no layer q_porj. "),
        (GPT2, ["q_proj"], "The base has no layer q_proj. It has c_attn, c_proj, c_fc (or all-linear)."),
    ],
)
def test_layers_that_are_not_there_are_told_with_those_that_are(
    tmp_path: Path, config: Any, targets: list[str], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_targets(base(tmp_path, config), Lora(targets=tuple(targets)))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "targets"),
    [
        (NEOX, "all-linear"),
        (NEOX, ("query_key_value", "dense_4h_to_h")),
        (NEOX, ("layers.0.attention.dense", "embed_in")),
        (MIXTRAL, ("q_proj", "k_proj", "v_proj", "o_proj")),
        (GPT2, ("c_attn",)),
    ],
)
def test_layers_that_are_there_pass(tmp_path: Path, config: Any, targets: Any) -> None:
    check_targets(base(tmp_path, config), Lora(targets=targets))


@pytest.mark.parametrize("method", ["lora", "qlora", "dpo"])
def test_every_method_with_an_adapter_is_looked_at_first(tmp_path: Path, method: str) -> None:
    values = {"name": "x", "method": method, "base": "b", "data": [{"path": "rows.jsonl"}]}
    recipe = validate_recipe(values | {"lora": {"targets": ["q_proj"]}})
    with pytest.raises(UserError, match="no layer q_proj"):
        refuse_recipe(recipe, base(tmp_path))


def test_a_base_that_cannot_be_read_is_left_to_who_loads_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nothing known"}', encoding="utf-8")
    check_targets(tmp_path, Lora(targets=("q_proj",)))


def test_the_shipped_recipes_for_mixtral_name_its_layers(tmp_path: Path) -> None:
    for name in ("mixtral-8x7b-qlora", "mixtral-8x7b-dpo"):
        check_targets(base(tmp_path, MIXTRAL), load_recipe(shipped_path(name), folder=tmp_path).lora)


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_train_ends_with_that_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    base(tmp_path)
    Path("rows.jsonl").write_text("{}\n", encoding="utf-8")
    Path("tune.yaml").write_text(
        "{name: x, method: lora, base: base, data: [{path: rows.jsonl}], lora: {targets: [q_proj]}}\n",
        encoding="utf-8",
    )
    done = CliRunner().invoke(root, ["train", "tune.yaml", *flags])
    assert done.exit_code != 0
    assert f"The base has no layer q_proj. {NEOX_HAS}" in f"{done.exception} {done.output}"
    assert not Path("runs/x").exists()
