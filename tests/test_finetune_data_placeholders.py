"""Inputs that only say there is none: one table, for converting and cleaning alike."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from finetune.rows.placeholders import without_placeholder
from kodolly.cli import root
from tests.support.convert_samples import ALPACA, read_lines, rows_of, write_lines

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


def test_convert_and_clean_know_the_same_placeholders(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, *records(PLACEHOLDERS))
    assert [(row["context"], row["category"]) for row in rows] == [("", "open_qa")] * len(PLACEHOLDERS)
    unclean = tmp_path / "rows.jsonl"
    write_lines(unclean, *(row | {"context": text} for row, text in zip(rows, PLACEHOLDERS, strict=True)))
    argv = [
        "data",
        "clean",
        str(unclean),
        str(tmp_path / "clean.jsonl"),
        "--processes",
        "1",
        "--similarity",
        "1",
    ]
    done = CliRunner().invoke(root, argv)
    assert done.exit_code == 0, done.output
    left = {row["instruction"]: row["context"] for row in read_lines(tmp_path / "clean.jsonl")}
    assert left == {row["instruction"]: "" for row in rows}


def test_a_text_that_says_something_stays(tmp_path: Path) -> None:
    assert [without_placeholder(text) for text in TEXTS] == [*TEXTS]
    rows = rows_of(tmp_path, *records(TEXTS))
    assert [row["context"] for row in rows] == [*TEXTS]


def records(texts: Sequence[str]) -> list[dict[str, str]]:
    """One with each input; no two are the same."""
    return [
        ALPACA | {"instruction": f"{number}. {ALPACA['instruction']}", "input": text}
        for number, text in enumerate(texts)
    ]
