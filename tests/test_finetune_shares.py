"""A share of a file: the figures before a run are of the rows that are drawn."""

from pathlib import Path
from typing import Any

import pytest

from common.chat_template import load_template
from common.errors import UserError
from finetune.models.tokenizer import train_tokenizer
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train.sequences import TrainingRows, describe, gather
from tests.support.tiny_training import write_rows

pytestmark = pytest.mark.slow

LONG = {n for n in range(120) if n % 7 in (2, 3)}
"""Rows that are longer than a recipe allows."""


def text(number: int) -> str:
    return f"{number}번: " + ("이야기를 더 길게 들려주세요. " * 40 if number in LONG else "짧은 이야기.")


def row(number: int) -> dict[str, Any]:
    meta = {"number": number, "split": "even" if number % 2 == 0 else "odd"}
    return {
        "instruction": text(number),
        "context": "",
        "response": "네.",
        "category": "open_qa",
        "meta": meta,
    }


def pair(number: int) -> dict[str, Any]:
    return {"instruction": text(number), "chosen": "네.", "rejected": "아니요."}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = train_tokenizer([text(n) for n in range(9)], 400, 2048)
    made.chat_template = load_template("dolly")
    return made


def drawn(
    folder: Path, tokenizer: Any, method: str, *settings: str, rows: list[dict[str, Any]]
) -> tuple[TrainingRows, str]:
    """(the rows of a run, how they are described)."""
    write_rows(folder / "rows.jsonl", rows)
    recipe_text = f"{{name: x, method: {method}, base: b, data: [{{path: rows.jsonl}}]}}\n"
    (folder / "recipe.yaml").write_text(recipe_text, encoding="utf-8")
    recipe = load_recipe(folder / "recipe.yaml", ["max_length=256", *settings])
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    found = gather(recipe, tokenizer, scratch, silent)
    return found, describe(found, recipe)


@pytest.mark.parametrize("method", ["lora", "dpo"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_what_is_left_out_is_counted_among_the_rows_drawn(
    tmp_path: Path, tokenizer: Any, method: str, share: float
) -> None:
    made = [row(n) if method == "lora" else pair(n) for n in range(120)]
    rows, said = drawn(tmp_path, tokenizer, method, f"data.0.share={share}", rows=made)
    step = 2 if method == "dpo" else 1
    assert rows.rows == rows.card[0].rows == round(120 * share)
    assert rows.rows == len(rows.train) // step + rows.too_long
    # No long one was kept, and the part of them among the drawn is what it is among all, by and large.
    assert {int(text.split("번")[0]) for text in decoded(rows, tokenizer, step)}.isdisjoint(LONG)
    assert 0 < rows.too_long < len(LONG) or share == 1.0
    assert said.startswith(f"{len(rows.train):,} sequences, {rows.too_long} longer than 256 tokens left out")


def decoded(rows: TrainingRows, tokenizer: Any, step: int) -> list[str]:
    """Every drawn row's own first words."""
    shown = [tokenizer.decode(rows.train.sequence(n)[0]) for n in range(0, len(rows.train), step)]
    return [text.split("### Instruction:\n")[1] for text in shown]


def test_only_the_split_is_drawn_from(tmp_path: Path, tokenizer: Any) -> None:
    settings = ["data.0.share=0.5", "data.0.split=even"]
    rows, _ = drawn(tmp_path, tokenizer, "lora", *settings, rows=[row(n) for n in range(120)])
    assert rows.rows == 30
    assert all(int(text.split("번")[0]) % 2 == 0 for text in decoded(rows, tokenizer, 1))


def test_windows_are_counted_among_the_rows_drawn(tmp_path: Path, tokenizer: Any) -> None:
    made = [row(n) | {"instruction": "네?", "context": text(n) * (1 + n % 2)} for n in range(40)]
    all_rows, _ = drawn(tmp_path, tokenizer, "lora", "over_length=window", rows=made)
    some, said = drawn(tmp_path, tokenizer, "lora", "over_length=window", "data.0.share=0.5", rows=made)
    assert (all_rows.rows, some.rows) == (40, 20)
    assert 0 < some.windowed < all_rows.windowed
    assert f"{some.windowed} cut to a window" in said


def test_a_long_row_that_is_not_drawn_is_no_error(tmp_path: Path, tokenizer: Any) -> None:
    made = [row(n) for n in (*range(2), *range(4, 9), 2)]
    settings = ["over_length=error", "data.0.share=0.5"]
    results: list[tuple[int, int] | str] = []
    for seed in range(12):
        try:
            rows, _ = drawn(tmp_path, tokenizer, "lora", *settings, f"seed={seed}", rows=made)
            results.append((rows.rows, rows.too_long))
        except UserError as error:
            results.append(str(error).split(" are")[0])
    assert set(results) == {(4, 0), "1 of 4 rows"}
