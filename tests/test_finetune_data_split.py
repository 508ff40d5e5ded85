"""Splitting rows: every row on one side, and it stays there when others come or go."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from finetune.data.split import split, split_place
from finetune.rows.fast_row import JsonRow, JsonTurn
from kodolly.cli import root


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "instruction": f"{number}번째 별의 이름은 무엇인가요?",
        "context": "",
        "response": f"{number}번 별입니다.",
        "category": "open_qa",
        **more,
    }


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def sides(directory: Path) -> dict[str, set[bytes]]:
    return {path.stem: set(path.read_bytes().splitlines()) for path in directory.glob("*.jsonl")}


def test_every_row_goes_to_one_side(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", *map(row, range(2000)))
    counts = split(source, tmp_path / "out", validation=0.1, test=0.05)
    made = sides(tmp_path / "out")
    assert {name: len(lines) for name, lines in made.items()} == counts
    assert set.union(*made.values()) == set(source.read_bytes().splitlines())
    assert sum(counts.values()) == 2000
    assert 160 < counts["validation"] < 240
    assert 70 < counts["test"] < 130


def test_rows_stay_where_they_are_when_others_come_or_shares_grow(tmp_path: Path) -> None:
    split(write(tmp_path / "few.jsonl", *map(row, range(500))), tmp_path / "few", validation=0.1, test=0.1)
    many = write(tmp_path / "many.jsonl", *map(row, reversed(range(-500, 500))))
    split(many, tmp_path / "many", validation=0.1, test=0.1)
    split(many, tmp_path / "larger", validation=0.2, test=0.2)
    few, more, larger = (sides(tmp_path / name) for name in ("few", "many", "larger"))
    for name in ("train", "validation", "test"):
        assert few[name] < more[name]
    assert more["validation"] < larger["validation"]
    assert more["test"] < larger["test"]


def test_rows_that_would_give_the_answer_away_stay_together(tmp_path: Path) -> None:
    context = (
        "이 별은 여름 밤하늘의 남쪽에서 붉게 빛나며, "
        "옛사람들은 이 별을 보고 농사일을 할 때를 가늠했다고 한다."
    )
    first = row(1)["instruction"]
    turns = [{"role": "user", "content": first}, {"role": "assistant", "content": "알겠습니다."}]
    rows = [
        *(row(number, context=context) for number in range(300)),
        *(row(1, response=f"{number}가지 답") for number in range(300)),
        *(row(number, history=turns) for number in range(300)),
        *(row(number) for number in range(1000, 1300)),
    ]
    split(write(tmp_path / "rows.jsonl", *rows), tmp_path / "out", validation=0.5)
    groups: dict[str, set[str]] = {"context": set(), "first": set()}
    for name, lines in sides(tmp_path / "out").items():
        for line in lines:
            made = json.loads(line)
            if made["context"]:
                groups["context"].add(name)
            elif first in (made["instruction"], *(turn["content"] for turn in made.get("history", []))):
                groups["first"].add(name)
    assert {group: len(names) for group, names in groups.items()} == {"context": 1, "first": 1}


@given(st.text(min_size=1), st.text(max_size=80), st.integers(0, 9))
def test_a_place_depends_on_question_and_context_alone(question: str, context: str, seed: int) -> None:
    one = JsonRow(question, "답", "open_qa", context, meta={"id": 1})
    other = JsonRow(question, "다른 답", "closed_qa", context)
    assert 0 <= split_place(one, seed) < 1
    assert split_place(one, seed) == split_place(other, seed)
    begun = [JsonTurn("user", question), JsonTurn("assistant", "답")]
    assert split_place(JsonRow("그리고?", "답", "open_qa", context, begun), seed) == split_place(one, seed)


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.0), (1.0, 0.0), (0.6, 0.4), (-0.1, 0.2)])
def test_shares_that_leave_nothing_are_refused(tmp_path: Path, validation: float, test: float) -> None:
    source = write(tmp_path / "rows.jsonl", row(1))
    with pytest.raises(UserError, match="Shares must lie"):
        split(source, tmp_path / "out", validation=validation, test=test)


def test_a_side_without_rows_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", row(1))
    with pytest.raises(UserError, match="there are only 1"):
        split(source, tmp_path / "out", validation=0.01)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", row(1), {"instruction": "x"})
    with pytest.raises(UserError, match=r"rows\.jsonl, line 2: .*`response`"):
        split(source, tmp_path / "out", validation=0.1)


def test_the_command_splits(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", *map(row, range(500)))
    options = ["--validation", "0.1", "--test", "0.1"]
    result = CliRunner().invoke(root, ["data", "split", str(source), str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert sorted(sides(tmp_path / "out")) == ["test", "train", "validation"]
