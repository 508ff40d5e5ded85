"""What a recipe may say."""

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.recipes.keys import FromBase
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import AdapterTuning, fingerprint
from finetune.recipes.sections import Section

ROOT = Path(__file__).parents[1]
RECIPE = """
name: x
method: lora
base: org/model
data: [{path: rows.jsonl}]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text("", encoding="utf-8")
    return tmp_path / "x.yaml"


def test_the_page_of_keys_is_what_the_script_prints() -> None:
    loader = SourceFileLoader("document_recipe", str(ROOT / "scripts" / "document-recipe"))
    spec = importlib.util.spec_from_loader("document_recipe", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == module.page()
    parts = [*module.SECTIONS.values(), *module.METHODS.values()]
    fields = [field for cls in parts for field in cls.model_fields.items()]
    assert [name for name, field in fields if not field.description] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["method=pretrain"], "needs `architecture` and takes no `base`"),
        (["base=null"], "method lora needs `base`"),
        (["data=[]"], "nothing to learn"),
        (["quantize=nf4"], "4-bit weights need method qlora"),
        (["method=qlora", "quantize=null"], "without them the method is lora"),
        (["early_stopping=3"], "early_stopping needs `validation`"),
        (["validation=1.5"], "between 0 and 1"),
        (["validation=0.1", "checkpoint_every=never"], "validation needs checkpoints"),
        (["checkpoint_every=0"], "number of steps, `epoch` or `never`"),
        (["method=dpo", "packing=true"], "takes pairs in `data`"),
        (["lora.rang=8"], "Did you mean 'rank'?"),
        (["warmup=100"], "less than 1"),
        (["data.3.path=x"], "the list has 1"),
        (["template=dollly"], "dollly"),
    ],
)
def test_what_cannot_work_is_refused_in_words(recipe: Path, settings: list[str], words: str) -> None:
    with pytest.raises(UserError) as refused:
        load_recipe(recipe, settings)
    assert words in f"{refused.value} {refused.value.hint}"


def test_defaults_follow_the_method_unless_the_recipe_says_otherwise(recipe: Path) -> None:
    assert load_recipe(recipe).learning_rate == 2e-4
    assert load_recipe(recipe, ["method=dpo"]).learning_rate == 5e-6
    qlora = load_recipe(recipe, ["method=qlora", "learning_rate=1e-4"])
    assert isinstance(qlora, AdapterTuning)
    assert (qlora.learning_rate, qlora.max_grad_norm, qlora.quantize) == (1e-4, 0.3, "nf4")


def test_paths_begin_at_the_file_and_overrides_at_the_current_directory(
    recipe: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    assert load_recipe(recipe).data[0].path == recipe.parent / "rows.jsonl"
    assert load_recipe(recipe, ["data.0.path=mine.jsonl"]).data[0].path == here / "mine.jsonl"
    said = load_recipe(recipe)
    assert isinstance(said, FromBase)
    assert said.base == "org/model", "a hub id is no path"


def test_one_file_takes_the_place_of_all(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = load_recipe(recipe, ["data=mine.jsonl", "replay=old.jsonl", "validation=held.jsonl"])
    assert isinstance(said, AdapterTuning)
    assert [part.path for part in said.data] == [tmp_path / "mine.jsonl"]
    assert [part.path for part in said.replay] == [tmp_path / "old.jsonl"]
    assert isinstance(said.validation, Section)
    assert said.validation.path == tmp_path / "held.jsonl"


def test_a_fingerprint_follows_settings_and_rows(recipe: Path) -> None:
    first = fingerprint(load_recipe(recipe), "")
    assert first == fingerprint(load_recipe(recipe), "")
    assert first != fingerprint(load_recipe(recipe, ["seed=7"]), "")
    (recipe.parent / "rows.jsonl").write_text("{}", encoding="utf-8")
    assert first != fingerprint(load_recipe(recipe), "")
