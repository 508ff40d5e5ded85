"""DPO: the better answer of a pair gains on the worse one, measured against the model without the adapter."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from common.errors import UserError
from finetune.models.adapter import read_adapter
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train.run import train
from finetune.train.write import LOG_FILE
from tests.support.preference_recipes import preference_recipe
from tests.support.tiny_training import make_base, pair, tokenizer_of, write_rows

pytestmark = pytest.mark.slow

DPO = preference_recipe("dpo", "pairs.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dpo")
    make_base(folder)
    (folder / "dpo.yaml").write_text(DPO, encoding="utf-8")
    return folder


def margin(model: Any, tokenizer: Any, question: str, better: str, worse: str) -> float:
    """How much likelier the better answer is, in nats."""

    def likelihood(answer: str) -> float:
        asked = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        start = len(tokenizer(prompt)["input_ids"])
        ids = tokenizer(prompt + answer + tokenizer.eos_token, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            chances = model(ids).logits[0, :-1].log_softmax(-1)
        return float(chances.gather(1, ids[0, 1:, None])[start - 1 :].sum())

    return likelihood(better) - likelihood(worse)


@pytest.mark.parametrize("settings", [(), ("quantize=nf4",)], ids=["dpo", "dpo on 4 bits"])
def test_the_better_answer_gains_on_the_worse_one(folder: Path, settings: tuple[str, ...]) -> None:
    output = folder / f"adapter{len(settings)}"
    recipe = load_recipe(folder / "dpo.yaml", settings)
    train(recipe, output, silent)
    base = AutoModelForCausalLM.from_pretrained(folder / "tiny-base", dtype=torch.float32)
    tokenizer = tokenizer_of(folder / "tiny-base")
    asked = [pair(number) for number in range(4)]

    def margins(model: Any) -> list[float]:
        return [margin(model, tokenizer, p["instruction"], p["chosen"], p["rejected"]) for p in asked]

    before = margins(base)
    after = margins(PeftModel.from_pretrained(base, output).eval())
    assert all(now - then > 5 for now, then in zip(after, before, strict=True)), (before, after)
    log = [entry for entry in json.loads((output / LOG_FILE).read_text()) if "loss" in entry]
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-3), "at first the model is its own reference"
    assert log[-1]["rewards/accuracies"] == 1.0
    assert log[-1]["rewards/margins"] > log[0]["rewards/margins"]
    card = read_adapter(output).card
    assert card.method == "dpo"
    assert card.data[0].rows == 8


def test_pairs_are_held_out_whole_and_the_best_state_is_kept(folder: Path) -> None:
    recipe = load_recipe(
        folder / "dpo.yaml", ["validation=0.25", "checkpoint_every=epoch", "early_stopping=2", "epochs=4"]
    )
    train(recipe, folder / "held-out", silent)
    log = json.loads((folder / "held-out" / LOG_FILE).read_text())
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
    metrics = read_adapter(folder / "held-out").card.metrics
    assert metrics["validation_loss"] == min(losses)


def test_pairs_that_are_too_long_are_left_out_or_refused(folder: Path) -> None:
    long = pair(0) | {"instruction": "하늘은 " * 80 + "무슨 색인가요?"}
    write_rows(folder / "long.jsonl", [pair(1), long])
    settings = [f"data.0.path={folder / 'long.jsonl'}", "max_length=120", "over_length=error"]
    with pytest.raises(UserError, match="1 of 2 rows are longer than max_length=120"):
        train(load_recipe(folder / "dpo.yaml", settings), folder / "no", silent, dry_run=True)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("packing=true", "takes pairs in `data`"),
        ("text=['text.txt']", "takes pairs in `data`"),
        ("dpo.beta=0", "greater than 0"),
        ("dpo.betta=0.2", "Did you mean 'beta'"),
        ("new_tokens=['<x>']", "takes pairs in `data`"),
    ],
)
def test_what_preference_training_cannot_do_is_refused(tmp_path: Path, setting: str, words: str) -> None:
    (tmp_path / "dpo.yaml").write_text(DPO, encoding="utf-8")
    with pytest.raises(UserError) as refused:
        load_recipe(tmp_path / "dpo.yaml", [setting])
    assert words in f"{refused.value} {refused.value.hint}"


def test_rows_without_two_answers_are_refused_with_their_line(folder: Path) -> None:
    setting = f"data.0.path={folder / 'rows.jsonl'}"
    with pytest.raises(UserError, match=r"rows\.jsonl, line 1: a row with one answer"):
        train(load_recipe(folder / "dpo.yaml", [setting]), folder / "no", silent, dry_run=True)
