"""The shipped recipes: each is valid, says its model's licence, fits the GPU it names, and can be copied."""

import itertools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from common.chat_template import load_template
from common.errors import UserError
from finetune.models.korean_tokens import TEXT, tokens_per_character
from finetune.models.published.by_hub_id import BASE_MODELS
from finetune.models.shipped_recipes import (
    CARD_BYTES,
    count_weights,
    counted_weights,
    gpu_need,
    launch_command,
    recipe_names,
    sharded,
    shipped,
)
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import EmbeddingTuning, FullTuning
from kodolly.cli import root

ASKED_FOR = {
    "EleutherAI/polyglot-ko-1.3b": {"full"},
    "EleutherAI/polyglot-ko-3.8b": {"full", "lora"},
    "EleutherAI/polyglot-ko-5.8b": {"lora"},
    "EleutherAI/polyglot-ko-12.8b": {"full", "lora"},
    "beomi/KoAlpaca-Polyglot-5.8B": {"lora"},
    "beomi/KoAlpaca-Polyglot-12.8B": {"lora"},
    "huggyllama/llama-13b": {"lora"},
    "openlm-research/open_llama_13b": {"lora"},
    "meta-llama/Llama-2-13b-hf": {"qlora"},
    "mistralai/Mistral-7B-v0.1": {"qlora", "dpo"},
    "upstage/SOLAR-10.7B-v1.0": {"qlora", "dpo"},
    "mistralai/Mixtral-8x7B-v0.1": {"qlora", "dpo"},
    "Qwen/Qwen3-4B": {"lora"},
    "Qwen/Qwen3-8B": {"lora", "qlora", "dpo"},
    "Qwen/Qwen3-14B": {"qlora"},
    "Qwen/Qwen3-32B": {"qlora"},
    "Qwen/Qwen3-30B-A3B": {"lora"},
    "Qwen/Qwen3-Embedding-0.6B": {"embed"},
    "Qwen/Qwen3.5-4B": {"lora"},
    "Qwen/Qwen3.5-9B": {"lora", "dpo"},
    "Qwen/Qwen3.5-27B": {"lora"},
    "google/gemma-3-4b-it": {"lora"},
    "google/gemma-3-12b-it": {"lora", "qlora", "dpo"},
    "google/gemma-3-27b-it": {"qlora"},
    "google/gemma-4-E4B-it": {"lora", "qlora", "dpo"},
    "google/gemma-4-12B-it": {"lora", "qlora", "dpo"},
    "google/gemma-4-31B-it": {"qlora"},
    "skt/A.X-4.0-Light": {"lora", "qlora", "dpo"},
    "kakaocorp/kanana-1.5-8b-instruct-2505": {"lora", "qlora", "dpo"},
    "kakaocorp/kanana-2-3b-instruct": {"lora", "dpo"},
    "kakaocorp/kanana-2-30b-a3b-instruct-2601": {"lora"},
    "naver-hyperclovax/HyperCLOVAX-SEED-Think-14B": {"lora", "qlora", "dpo"},
    "unsloth/gpt-oss-20b-BF16": {"lora", "dpo"},
    "mistralai/Mistral-Nemo-Instruct-2407": {"lora", "qlora", "dpo"},
    "mistralai/Mistral-Small-24B-Instruct-2501": {"qlora"},
    "mistralai/Ministral-3-3B-Instruct-2512-BF16": {"lora"},
    "mistralai/Ministral-3-8B-Instruct-2512-BF16": {"lora", "qlora", "dpo"},
    "K-intelligence/Midm-2.0-Base-Instruct": {"lora", "qlora", "dpo"},
    "K-intelligence/Midm-2.0-Mini-Instruct": {"lora", "dpo"},
    "meta-llama/Llama-3.1-8B-Instruct": {"lora", "qlora", "dpo"},
    "meta-llama/Llama-3.2-3B-Instruct": {"lora"},
    "meta-llama/Llama-3.3-70B-Instruct": {"qlora"},
    "LGAI-EXAONE/EXAONE-4.0-32B": {"qlora"},
    "LGAI-EXAONE/EXAONE-4.0-1.2B": {"lora", "dpo"},
    "EleutherAI/pythia-12b": {"full"},
    "databricks/dolly-v2-3b": {"lora"},
    "bigscience/bloom-7b1": {"lora"},
    "EleutherAI/gpt-j-6b": {"lora"},
}
FITS_24_GB = {
    "a.x-4.0-light-qlora",
    "gemma-4-e4b-qlora",
    "hyperclovax-seed-think-14b-qlora",
    "kanana-1.5-8b-qlora",
    "kanana-2-3b-lora",
    "midm-2.0-base-qlora",
    "midm-2.0-mini-lora",
    "mistral-nemo-12b-qlora",
    "mistral-small-24b-qlora",
    "mistral-7b-qlora",
    "polyglot-ko-5.8b-lora",
    "solar-10.7b-qlora",
}
LORA_RECIPE = "{name: x, method: lora, base: a/b, data: [{path: rows.jsonl}]}"
PUBLISHED_WEIGHTS = {
    "EleutherAI/polyglot-ko-1.3b": 1_331_810_304,
    "EleutherAI/polyglot-ko-3.8b": 3_809_974_272,
    "EleutherAI/polyglot-ko-5.8b": 5_885_059_072,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-Embedding-0.6B": 595_776_512,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "google/gemma-3-4b-it": 4_300_079_472,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
    "meta-llama/Llama-3.3-70B-Instruct": 70_553_706_496,
    "google/gemma-3-12b-it": 12_187_325_040,
    "google/gemma-3-27b-it": 27_432_406_640,
    "naver-hyperclovax/HyperCLOVAX-SEED-Think-14B": 14_748_112_896,
    "unsloth/gpt-oss-20b-BF16": 20_914_757_184,
    "mistralai/Mistral-Nemo-Instruct-2407": 12_247_782_400,
    "mistralai/Mistral-Small-24B-Instruct-2501": 23_572_403_200,
    # The checkpoint also holds 18 layers' keys and values, which are never used, and 42 numbers of no weight.
    "google/gemma-4-E4B-it": 7_996_156_490 - 55_055_616 - 42,
    # The checkpoint's 60 layers have a scale each, and the vision tower standardises by 2 x 1152 numbers.
    "google/gemma-4-31B-it": 31_273_088_876 - 60 - 2304,
    # Less the vision tower and the layer that foretells the token after the next, which no training loads.
    "Qwen/Qwen3.5-4B": 4_659_865_088 - 333_514_240 - 120_599_552,
    "Qwen/Qwen3.5-9B": 9_653_104_368 - 456_010_480 - 243_290_624,
    "Qwen/Qwen3.5-27B": 27_781_427_952 - 460_730_096 - 424_699_392,
}
"""As their model cards or the index of their files count them."""
ROUNDED_WEIGHTS = {
    "google/gemma-4-12B-it": "12",
    "mistralai/Ministral-3-3B-Instruct-2512-BF16": "3.8",
    "mistralai/Ministral-3-8B-Instruct-2512-BF16": "8.9",
    "skt/A.X-4.0-Light": "7.26",
    "K-intelligence/Midm-2.0-Mini-Instruct": "2.3",
    "K-intelligence/Midm-2.0-Base-Instruct": "11.5",
    "kakaocorp/kanana-1.5-8b-instruct-2505": "8.03",
    "kakaocorp/kanana-2-3b-instruct": "3.509",
    "kakaocorp/kanana-2-30b-a3b-instruct-2601": "30.6708",
}
"""Billions, where no more is stated publicly."""


def run(*args: str) -> str:
    result = CliRunner().invoke(root, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid_and_says_its_models_licence(name: str) -> None:
    entry = shipped(name)
    assert entry.name == name
    assert entry.recipe.licence == entry.facts.licence
    assert entry.recipe.gradient_checkpointing
    if not isinstance(entry.recipe, EmbeddingTuning) and entry.recipe.template != "own":
        load_template(entry.recipe.template or "dolly")
    kind = {"dpo": "pairs.jsonl", "embed": "questions.jsonl"}.get(entry.recipe.method, "rows.jsonl")
    assert [source.path.name for source in entry.recipe.data] == [kind]


def test_every_model_and_method_that_was_asked_for_has_a_recipe() -> None:
    shipped_methods: dict[str, set[str]] = {}
    for name in recipe_names():
        entry = shipped(name)
        shipped_methods.setdefault(entry.model, set()).add(entry.recipe.method)
    assert shipped_methods == ASKED_FOR
    assert set(BASE_MODELS) == set(ASKED_FOR)


def test_a_second_step_begins_with_what_the_first_one_gives() -> None:
    entry = shipped("solar-10.7b-dpo")
    assert entry.recipe.base == str(Path.cwd() / "models" / "solar-10.7b-qlora")
    assert entry.model == "upstage/SOLAR-10.7B-v1.0"
    assert not isinstance(entry.recipe, FullTuning | EmbeddingTuning)
    assert entry.recipe.quantize == "nf4"
    first = shipped("solar-10.7b-qlora").recipe
    assert not isinstance(first, EmbeddingTuning)
    assert entry.recipe.template == first.template


def test_names_are_in_order_of_size() -> None:
    polyglot = [name for name in recipe_names() if name.startswith("polyglot") and name.endswith("lora")]
    assert polyglot == ["polyglot-ko-3.8b-lora", "polyglot-ko-5.8b-lora", "polyglot-ko-12.8b-lora"]


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UserError) as caught:
        shipped("polyglot-ko-5.8-lora")
    assert "polyglot-ko-5.8b-lora" in (caught.value.hint or "")


def test_a_copy_is_the_users_own(tmp_path: Path) -> None:
    target = tmp_path / "mine" / "mistral.yaml"
    run("recipes", "copy", "mistral-7b-qlora", str(target))
    recipe = load_recipe(target)
    assert recipe.data[0].path == target.parent / "rows.jsonl"
    assert [path.name for path in target.parent.iterdir()] == ["mistral.yaml"]
    again = CliRunner().invoke(root, ["recipes", "copy", "mistral-7b-qlora", str(target)])
    assert isinstance(again.exception, UserError)
    assert "there already" in str(again.exception)


def test_a_copy_for_several_gpus_brings_its_launcher(tmp_path: Path) -> None:
    run("recipes", "copy", "polyglot-ko-12.8b-full", str(tmp_path / "big.yaml"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.yaml", "fsdp.yaml"]


def test_train_takes_a_shipped_name_with_paths_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(root, ["train", "mistral-7b-dpo"])
    assert isinstance(result.exception, UserError)
    assert str(tmp_path / "models" / "mistral-7b-qlora") in str(result.exception)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("exaone", "EXAONE 3.5 is no part of transformers 5"),
        ("solar_open", "Solar Open is no part of vLLM"),
        ("qwen3_vl", "is not among those of which kodolly trains the text part"),
    ],
)
def test_what_cannot_be_tuned_and_served_is_refused_before_it_is_loaded(
    tmp_path: Path, kind: str, said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    result = CliRunner().invoke(root, ["train", "qwen3-8b-lora", f"base={tmp_path}", "--dry-run"])
    assert isinstance(result.exception, UserError)
    assert said in str(result.exception)


@pytest.mark.parametrize("name", [name for name in recipe_names() if shipped(name).recipe.four_bit])
def test_no_recipe_on_4_bit_weights_is_refused_for_experts_that_stay_in_16(name: str) -> None:
    lora = shipped(name).recipe.adapter
    assert lora is not None
    experts = counted_weights()[name].experts
    assert (experts > 0) == name.startswith("mixtral")
    assert not experts or lora.targets != "all-linear"


def total_weights(model: str) -> int:
    """Of the model, as the list counts with them."""
    return next(counted_weights()[name].total for name in recipe_names() if shipped(name).model == model)


@pytest.mark.parametrize(("model", "weights"), PUBLISHED_WEIGHTS.items())
def test_shapes_give_the_published_number_of_weights(model: str, weights: int) -> None:
    assert total_weights(model) == weights


@pytest.mark.parametrize(("model", "billions"), ROUNDED_WEIGHTS.items())
def test_shapes_give_the_number_of_weights_as_far_as_it_is_published(model: str, billions: str) -> None:
    digits = len(billions.partition(".")[2])
    assert f"{total_weights(model) / 1e9:.{digits}f}" == billions


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_the_weights_are_those_of_the_model_and_adapter(name: str) -> None:
    assert counted_weights()[name] == count_weights(shipped(name)), "run scripts/count-weights"


def test_the_weights_of_every_recipe_were_counted() -> None:
    assert list(counted_weights()) == recipe_names(), "run scripts/count-weights"


def test_list_shows_memory_licence_and_command_of_every_recipe() -> None:
    listed = {each["name"]: each for each in json.loads(run("recipes", "list", "--json"))}
    assert list(listed) == recipe_names()
    table = run("recipes", "list")
    for name, each in listed.items():
        line = next(line for line in table.splitlines() if line.endswith(f" {name}"))
        assert line.split()[0] == each["model"]
        assert each["use"] in line
        stated = next(line for line in table.splitlines() if line.endswith(each["licence_source"]))
        assert stated.split()[0] == each["model"] or each["licence"] in stated
        if "mixtral" not in name:
            assert each["gpu_bytes"] < 0.9 * CARD_BYTES
    # Experts stay in 16 bits: far more than a 4-bit model of this size would take.
    assert listed["mixtral-8x7b-qlora"]["gpu_bytes"] > 87e9
    assert listed["mistral-7b-qlora"]["gpu_bytes"] < 24e9
    assert listed["polyglot-ko-5.8b-lora"]["gpu_bytes"] < 24e9
    assert listed["llama-13b-lora"]["use"] == "research"
    assert listed["polyglot-ko-12.8b-full"]["gpus"] > 1
    assert all(each["gpu_bytes"] < 24e9 for name, each in listed.items() if name in FITS_24_GB)


def test_list_groups_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("recipes", "list", "--fits", "24GB").splitlines()
    kanana = lines[lines.index("Kanana") + 1 :]
    assert all("kakaocorp/kanana" in line for line in kanana[: kanana.index("")])
    families = [line for before, line in itertools.pairwise(lines) if not before and ":" not in line]
    assert families == sorted(families, key=str.casefold)


def test_list_leaves_out_what_does_not_fit_or_may_not_be_sold() -> None:
    listed = json.loads(run("recipes", "list", "--json", "--fits", "24GB", "--commercial"))
    assert {"mistral-7b-qlora", "polyglot-ko-5.8b-lora"} <= {each["name"] for each in listed}
    assert all(each["gpus"] == 1 and each["gpu_bytes"] <= 24e9 for each in listed)
    assert {each["use"] for each in listed} == {"commercial"}


def test_tokens_of_korean_are_counted_where_the_tokenizer_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tokens_per_character("org/bytes") is None
    bytewise = Tokenizer(BPE(vocab={char: n for n, char in enumerate(ByteLevel.alphabet())}, merges=[]))
    bytewise.pre_tokenizer = ByteLevel(add_prefix_space=False)
    (tmp_path / "bytes").mkdir()
    bytewise.save(str(tmp_path / "bytes" / "tokenizer.json"))
    assert tokens_per_character("org/bytes") == len(TEXT.encode()) / len(TEXT)
    (tmp_path / "bytes" / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert tokens_per_character("org/bytes") is None


def test_list_takes_sizes_in_gigabytes_only() -> None:
    refused = CliRunner().invoke(root, ["recipes", "list", "--fits", "big"])
    assert refused.exit_code == 2
    assert "write it as 24GB" in refused.output


@pytest.mark.parametrize("name", recipe_names())
def test_a_file_for_several_gpus_says_how_it_is_launched(name: str) -> None:
    entry = shipped(name)
    need = gpu_need(entry)
    assert sharded(entry) == (need.gpus > 1)
    if need.gpus > 1:
        assert launch_command(entry, need) in entry.path.read_text(encoding="utf-8")


def test_show_gives_the_file_and_what_it_needs() -> None:
    shown = run("recipes", "show", "gpt-j-6b-lora")
    assert "Apache-2.0 (commercial)" in shown
    assert "--revision refs/pr/40 --local-dir gpt-j-6b" in shown
    assert shown.endswith(shipped("gpt-j-6b-lora").path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["lora.plus=0.5"], "greater than or equal to 1"),
        (["lora.rsLora=true"], "Did you mean 'rslora'"),
        (["neftune=0"], "greater than 0"),
        (["method=dpo", "neftune=5"], "takes pairs in `data`"),
    ],
)
def test_a_kind_of_lora_that_means_nothing_is_refused(
    tmp_path: Path, settings: list[str], words: str
) -> None:
    (tmp_path / "x.yaml").write_text(LORA_RECIPE, encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load_recipe(tmp_path / "x.yaml", settings)
    assert words in f"{refused.value} {refused.value.hint}"


def test_both_readmes_say_how_many_recipes_there_are() -> None:
    root = Path(__file__).parents[1]
    number = len(recipe_names())
    assert f"# {number} recipes:" in (root / "README.md").read_text(encoding="utf-8")
    assert f"# 레시피 {number}개:" in (root / "README.ko.md").read_text(encoding="utf-8")
