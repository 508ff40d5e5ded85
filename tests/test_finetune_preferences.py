"""KTO, ORPO, SimPO and DPO's other losses: good answers gain and bad ones lose on a tiny model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from common.errors import UserError
from finetune.models.adapter import read_adapter
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train import fused_loss
from finetune.train.batches import LabelledData
from finetune.train.reference_free import margin_loss, odds_ratio_loss
from finetune.train.run import train
from finetune.train.write import LOG_FILE
from tests.support.preference_recipes import preference_recipe
from tests.support.tiny_training import make_base, pair, tokenizer_of, write_rows

pytestmark = pytest.mark.slow

RECIPE = preference_recipe("kto", "labelled.jsonl")
PAIRS = "data.0.path=pairs.jsonl"


def labelled(number: int, label: Any) -> dict[str, Any]:
    """The better or the worse answer of `pair(number)`, by itself."""
    both = pair(number)
    return {
        "instruction": both["instruction"],
        "context": "",
        "response": both["chosen" if label else "rejected"],
        "category": "open_qa",
        "meta": {"id": f"{number}-{label}", "label": label},
    }


def recipe_file(folder: Path) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.yaml"


class _Answers:
    """Stands for token rows: sequence n is prompt [n], answer [100 + n]."""

    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers
        self.lengths = np.full(len(numbers), 2)

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, chosen: Any) -> "_Answers":
        return _Answers(self.numbers[chosen])

    def sequence(self, index: int) -> tuple[Any, Any]:
        number = int(self.numbers[index])
        return np.array([number, 100 + number]), np.array([-100, 100 + number])


@pytest.mark.parametrize("rows", [4, 6, 9, 1])
def test_neighbours_are_a_batchs_own_answers(rows: int) -> None:
    data: Any = LabelledData(_Answers(np.arange(rows)), np.arange(rows) % 2 == 0, 4, seed=1)  # type: ignore[arg-type]
    items = [data[n] for n in range(rows)]
    assert sorted(item["prompt_ids"][0] for item in items) == list(range(rows))
    assert all(item["label"] == (item["prompt_ids"][0] % 2 == 0) for item in items)
    for start in range(0, rows, 4):
        batch = items[start : start + 4]
        if len(batch) > 1:
            assert {i["KL_completion_ids"][0] for i in batch} == {i["completion_ids"][0] for i in batch}
            assert all(i["KL_completion_ids"] != i["completion_ids"] for i in batch)
    if rows == 9:
        assert items[8]["KL_completion_ids"] == items[7]["completion_ids"]


def test_losses_without_a_reference_are_the_papers() -> None:
    better, worse = torch.tensor([-0.5]), torch.tensor([-1.5])
    odds = [np.exp(p) / (1 - np.exp(p)) for p in (-0.5, -1.5)]
    expected = 0.5 - 0.1 * np.log(1 / (1 + odds[1] / odds[0]))
    assert float(odds_ratio_loss(better, worse, 0.1)) == pytest.approx(expected, abs=1e-5)
    assert float(margin_loss(better, worse, 2.0, 1.0, 0.0)) == pytest.approx(np.log(1 + np.exp(-1)), abs=1e-6)
    assert float(margin_loss(better, worse, 2.0, 1.0, 0.5)) == pytest.approx(
        np.log(1 + np.exp(-1)) + 0.25, abs=1e-6
    )
    sure = torch.tensor([0.0], requires_grad=True)
    torch.autograd.backward(odds_ratio_loss(sure, worse, 0.1).sum())
    assert torch.isfinite(sure.grad).all(), "an answer that is certain has no infinite odds"  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preferences")
    make_base(folder)
    write_rows(
        folder / "labelled.jsonl", [labelled(n, good) for n in range(6) for good in (True, False)][:-3]
    )
    recipe_file(folder)
    return folder


def chances(model: Any, tokenizer: Any, number: int) -> tuple[float, float]:
    """Log probabilities of the better and the worse answer, in nats."""
    asked = [{"role": "user", "content": pair(number)["instruction"]}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    start = len(tokenizer(prompt)["input_ids"])

    def of(answer: str) -> float:
        ids = tokenizer(prompt + answer + tokenizer.eos_token, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            likely = model(ids).logits[0, :-1].log_softmax(-1)
        return float(likely.gather(1, ids[0, 1:, None])[start - 1 :].sum())

    return of(pair(number)["chosen"]), of(pair(number)["rejected"])


def mean_margin(entries: list[dict[str, float]]) -> float:
    """Over an epoch: a batch of KTO's may hold answers of one kind, which have no margin."""
    margins = [entry["rewards/margins"] for entry in entries if "rewards/margins" in entry]
    return sum(margins) / len(margins)


@pytest.mark.parametrize(
    "settings",
    [
        ("method=kto",),
        ("method=kto", "kto.loss_type=apo_zero_unpaired", "batch_size=3"),
        ("method=orpo", "data.0.path=pairs.jsonl"),
        ("method=simpo", "data.0.path=pairs.jsonl"),
        (
            "method=dpo",
            "data.0.path=pairs.jsonl",
            "dpo.loss_type=[sigmoid, sft]",
            "dpo.loss_weights=[1, 0.2]",
        ),
        (
            "method=dpo",
            "data.0.path=pairs.jsonl",
            "dpo.loss_type=robust",
            "dpo.label_smoothing=0.1",
            "dpo.ld_alpha=0.5",
        ),
    ],
    ids=["kto", "kto unpaired", "orpo", "simpo", "dpo and sft", "robust dpo"],
)
def test_good_answers_gain_and_bad_ones_lose(
    folder: Path, tmp_path: Path, settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    shown: list[str] = []
    recipe = load_recipe(folder / "recipe.yaml", settings)
    train(recipe, tmp_path / "adapter", silent, show=shown.append)
    base = AutoModelForCausalLM.from_pretrained(folder / "tiny-base", dtype=torch.float32)
    tokenizer = tokenizer_of(folder / "tiny-base")
    before = [chances(base, tokenizer, n) for n in range(4)]
    tuned = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    after = [chances(tuned, tokenizer, n) for n in range(4)]
    for (good, bad), (better, worse) in zip(before, after, strict=True):
        assert better - worse > good - bad + 3, (before, after)
        assert better > good, (before, after)
    assert read_adapter(tmp_path / "adapter").card.method == recipe.method
    log = [entry for entry in json.loads((tmp_path / "adapter" / LOG_FILE).read_text()) if "loss" in entry]
    first, last = ([e for e in log if low < e["epoch"] <= low + 1] for low in (0, recipe.epochs - 1))
    assert mean_margin(last) > mean_margin(first)
    if recipe.method == "kto":
        assert "5 good answers of weight 1, 4 bad ones of 1.25" in "".join(shown)


def test_labels_are_looked_at_before_the_model_is_loaded(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "tiny-base", tmp_path / "tiny-base")
    (tmp_path / "tiny-base" / "model.safetensors").unlink()
    for rows, words in (
        ([labelled(0, True), labelled(1, True)], "All 2 rows are good answers"),
        ([labelled(0, True), labelled(1, None)], "line 2: .* has none"),
        ([labelled(0, True), labelled(1, "bad")], "line 2: .* has 'bad'"),
        ([pair(0)], "line 1: a preference pair"),
    ):
        write_rows(tmp_path / "labelled.jsonl", rows)
        with pytest.raises(UserError, match=words):
            train(load_recipe(recipe_file(tmp_path)), tmp_path / "no", silent, dry_run=True)


def test_a_loss_without_logits_that_is_another_is_not_trained_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = load_recipe(recipe_file(folder), ["method=orpo", f"data.0.path={folder / 'pairs.jsonl'}"])
    shown: list[str] = []
    train(asked, folder / "out", silent, dry_run=True, show=shown.append)
    assert "TRL's, without the logits of all tokens" in shown[-1]
    monkeypatch.setattr(fused_loss, "TOLERANCE", -1)
    with pytest.raises(UserError, match="TRL gives a row another loss than the model itself"):
        train(asked, folder / "out", silent, dry_run=True)
