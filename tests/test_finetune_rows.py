"""Rows and recipes: what is read, and what a broken file says."""

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.data.load import load_paragraphs, load_rows
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import fingerprint
from finetune.rows.row import Row, to_messages

DEMO = Path(__file__).parents[1] / "finetune" / "demo"
ROW = {
    "instruction": "물은 몇 도에서 끓나요?",
    "context": "",
    "response": "100도입니다.",
    "category": "open_qa",
}


def write(path: Path, *lines: Any) -> Path:
    text = "\n".join(
        line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines
    )
    path.write_text(text + "\n", encoding="utf-8")
    return path


def test_a_row_becomes_the_messages_a_client_would_send() -> None:
    history = [{"role": "user", "content": "가"}, {"role": "assistant", "content": "나"}]
    row = Row.model_validate(
        ROW | {"context": "물은 100도에서 끓는다.", "history": history, "response": " 답 "}
    )
    assert to_messages(row) == [
        *history,
        {"role": "user", "content": "물은 몇 도에서 끓나요?\n\nInput:\n물은 100도에서 끓는다."},
        {"role": "assistant", "content": "답"},
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not valid JSON"),
        ("[1]", "Expected `object`"),
        (ROW | {"category": "chat"}, "category"),
        (ROW | {"response": "  "}, "the response is blank"),
        (ROW | {"answer": "x"}, "unknown field `answer`"),
        ({"instruction": "x"}, "missing required field `response`"),
        (ROW | {"history": [{"role": "assistant", "content": "나"}]}, "the history is not pairs"),
    ],
)
def test_a_broken_row_is_named_by_file_line_and_reason(tmp_path: Path, line: Any, reason: str) -> None:
    path = write(tmp_path / "rows.jsonl", ROW, "", line)
    with pytest.raises(UserError, match=r"rows\.jsonl, line 3: ") as caught:
        load_rows(path)
    assert reason in str(caught.value)


def test_files_that_cannot_be_rows_say_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_rows(tmp_path / "none.jsonl")
    (tmp_path / "euc-kr.jsonl").write_bytes("한글".encode("euc-kr"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_rows(tmp_path / "euc-kr.jsonl")
    with pytest.raises(UserError, match="no rows with meta.split 'tune'"):
        load_rows(write(tmp_path / "rows.jsonl", ROW), "tune")


def test_the_bundled_rows_are_what_the_readme_says() -> None:
    rows = load_rows(DEMO / "rows.jsonl")
    splits = Counter(row.meta["split"] for row in rows)
    assert len(rows) >= 300
    assert splits["tune"] >= 100
    assert set(splits) == {"base", "tune"}
    assert sum(bool(row.context) for row in rows) >= 30
    assert sum(bool(row.history) for row in rows) >= 10
    assert len({row.category for row in rows}) == 8
    assert len({row.instruction for row in rows}) == len(rows)
    assert len({row.meta["id"] for row in rows}) == len(rows)
    text = (DEMO / "rows.jsonl").read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", text)
    assert "\\u" not in text
    assert len(load_paragraphs(DEMO / "text.txt")) >= 80


RECIPE = "name: x\nmethod: lora\nbase: b\ndata: [{path: rows.jsonl}]\n"


def recipe_file(tmp_path: Path, text: str = RECIPE) -> Path:
    write(tmp_path / "rows.jsonl", ROW)
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RECIPE + "epoch: 3\n", "unknown key 'epoch'. Did you mean 'epochs'?"),
        (RECIPE + "lora: {rnk: 3}\n", "unknown key 'lora.rnk'. Did you mean 'rank'?"),
        (RECIPE + "epochs: many\n", "epochs: Input should be a valid integer"),
        ("name: x\nmethod: lora\ndata: [{path: a}]\n", "method lora needs `base`"),
        ("name: x\nmethod: pretrain\ndata: [{path: a}]\n", "needs `architecture`"),
        ("name: [\n", "line 2 is not valid YAML"),
        ("- 1\n", "must hold `key: value` lines"),
        (RECIPE + "template: nonsense\n", "no chat template 'nonsense'"),
    ],
)
def test_a_broken_recipe_says_what_to_change(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(recipe_file(tmp_path, text))
    assert message in str(caught.value)


def test_overrides_change_single_keys_and_are_checked(tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    recipe = load_recipe(path, ["epochs=7", "lora.rank=8", "data.0.share=0.5"])
    assert (recipe.epochs, recipe.lora.rank, recipe.data[0].share) == (7, 8, 0.5)
    assert recipe.data[0].path == tmp_path / "rows.jsonl"
    for override, message in (
        ("epochs", "key=value"),
        ("epoch=3", "Did you mean"),
        ("data.9.share=1", "item"),
    ):
        with pytest.raises(UserError, match=message):
            load_recipe(path, [override])


def test_the_fingerprint_changes_with_the_rows_and_not_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = load_recipe(recipe_file(tmp_path / "a")), load_recipe(recipe_file(tmp_path / "b"))
    before = fingerprint(one, "")
    assert fingerprint(other, "") == before
    write(tmp_path / "a" / "rows.jsonl", ROW, ROW)
    assert fingerprint(one, "") != before
    assert fingerprint(load_recipe(tmp_path / "b" / "recipe.yaml", ["epochs=9"]), "") != before
