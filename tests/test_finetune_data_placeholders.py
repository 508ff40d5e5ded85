"""Inputs that only say there is none: one table, for converting and cleaning alike."""

import json
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

from finetune.data.placeholders import without_placeholder
from kodolly.cli import root
from tests.convert_samples import ALPACA, read_lines, rows_of

PLACEHOLDERS = (
    *(
        "입력값없음",
        "입력 값 없음",
        "입력 내용 없음",
        "입력이 없습니다.",
        "<입력없음>",
        "(해당 사항 없음)",
        "없음",
    ),
    *(
        "no input required",
        "No Input",
        "<noinput>",
        "noinput",
        "NO_INPUT",
        "No input needed.",
        "Not applicable",
    ),
    *(
        "N/A",
        "n/a",
        "NA",
        "None",
        "null",
        "NaN",
        "입력 필요 없음",
        unicodedata.normalize("NFD", "입력값없음"),
    ),
)
TEXTS = ("없음표는 음표인가요?", "NASA", "nano", "나", "none of them came", "입력 값: 3", "빈 칸을 채우세요")


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_convert_and_clean_know_the_same_placeholders(text: str, tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, ALPACA | {"input": text})
    assert (row["context"], row["category"]) == ("", "open_qa")
    unclean = tmp_path / "rows.jsonl"
    unclean.write_text(json.dumps(row | {"context": text}, ensure_ascii=False) + "\n", encoding="utf-8")
    done = CliRunner().invoke(
        root, ["data", "clean", str(unclean), str(tmp_path / "clean.jsonl"), "--processes", "1"]
    )
    assert done.exit_code == 0, done.output
    assert [row["context"] for row in read_lines(tmp_path / "clean.jsonl")] == [""]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_says_something_stays(text: str, tmp_path: Path) -> None:
    assert without_placeholder(text) == text
    (row,) = rows_of(tmp_path, ALPACA | {"input": text})
    assert row["context"] == text
