"""One definition of a row: what `data check`, cleaning and training accept and refuse."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import UserError
from finetune.data.clean.rules import rules
from finetune.data.clean.run import clean
from finetune.data.load import load_rows, rows_of_file
from finetune.encoding.encode_files import row_at
from finetune.rows.fast_row import JsonPair, UnusableLine, parse_row, write_row
from finetune.rows.row import Pair, Row
from kodolly.cli import root
from tests.support.clean_rows import ANSWER, QUESTION, pair, row, write

TURNS = [{"role": "user", "content": "가"}, {"role": "assistant", "content": "나"}]
USER, ASSISTANT = TURNS
SYSTEM = {"role": "system", "content": "친절하게 답합니다."}

texts = st.sampled_from([ANSWER, QUESTION, "", " ", "\u3000\n", "\u200b", "\u3164", "\x00", "물"])
wrong = st.sampled_from([None, 7, 1.5, True, [], {}, ["물"], {"text": "물"}])
text_fields = texts | wrong
categories = st.sampled_from(["open_qa", "summarization", "", " ", "잡담", "OPEN_QA", None, 3])
histories = (
    st.lists(
        st.sampled_from([SYSTEM, USER, ASSISTANT, {"role": "tool", "content": "가"}, {}, "가"]), max_size=5
    )
    | st.lists(st.sampled_from([SYSTEM, USER, ASSISTANT | {"name": "나"}]), max_size=3)
    | wrong
)
numbers = st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e308, 2**64, -(2**70), 0])
metas = st.dictionaries(st.sampled_from(["id", "split", "점수"]), numbers | texts | wrong, max_size=2) | wrong
fields = {
    "instruction": text_fields,
    "context": text_fields,
    "response": text_fields,
    "chosen": text_fields,
    "rejected": text_fields,
    "category": categories,
    "history": histories,
    "meta": metas,
    "answer": text_fields,
}
good_rows = st.just(row()) | st.just(pair(rejected="감자는 어떨까요?"))


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    """A good row or pair with up to three fields changed, added or taken away; or any fields at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.fixed_dictionaries({}, optional=fields))
    made = dict(draw(good_rows))
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3)):
        if draw(st.booleans()):
            made[name] = draw(fields[name])
        else:
            made.pop(name, None)
    return made


def training_takes(path: Path) -> Row | Pair | None:
    """The row that training makes of the file's one line, as one kind or the other."""
    taken: list[Row | Pair] = []
    with suppress(UserError):
        taken += [found for found, _ in rows_of_file(path, Row)]
    with suppress(UserError):
        taken += [found for found, _ in rows_of_file(path, Pair)]
    assert len(taken) < 2
    return taken[0] if taken else None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects(), st.booleans())
@example(pair(category="", rejected="감자"), True)
@example(pair(category=None, rejected="감자"), True)
@example(row(category=""), True)
@example(row(meta={"score": float("nan")}), True)
@example(row(meta={"score": [float("inf")]}), True)
@example(row(response="\u200b"), True)
def test_checking_and_training_take_the_same_rows(tmp_path: Path, made: dict[str, Any], plain: bool) -> None:
    line = json.dumps(made, ensure_ascii=not plain).encode()
    taken = training_takes(write(tmp_path / "rows.jsonl", line))
    try:
        checked = parse_row(line)
    except UnusableLine:
        assert taken is None
        return
    assert isinstance(taken, Pair if isinstance(checked, JsonPair) else Row)
    # What cleaning writes is the same row again, and a row made in code is checked by the same rules.
    assert training_takes(write(tmp_path / "written.jsonl", write_row(checked).rstrip(b"\n"))) == taken
    assert type(taken).model_validate(taken.model_dump()) == taken


@settings(max_examples=150)
@given(objects())
def test_rows_made_in_code_are_refused_as_lines_are(made: dict[str, Any]) -> None:
    line = json.dumps(made).encode()
    if b"NaN" in line or b"Infinity" in line:
        return  # a line cannot say them
    kind = Pair if "chosen" in made else Row
    try:
        kind.model_validate_json(line)
    except ValidationError:
        with pytest.raises(UnusableLine):
            parse_row(line)
    else:
        parse_row(line)


BOM = b"\xef\xbb\xbf"
GOOD = json.dumps(row()).encode()
LINES = {
    "a mark at the beginning of the file": (BOM + GOOD, True),
    "a mark within": (GOOD + b"\n" + BOM + GOOD, False),
    "Windows' line ends": (GOOD + b"\r\n\r\n" + GOOD + b"\r", True),
    "old Macs' line ends": (GOOD + b"\r" + GOOD, False),
    "a line of wide blanks": (GOOD + b"\n\xe3\x80\x80\n" + GOOD, False),
    "another encoding": (json.dumps(row(), ensure_ascii=False).encode("cp949"), False),
    "half a surrogate pair": (GOOD.replace(b'"open_qa"', b'"open_qa", "meta": {"a": "\\ud800"}'), False),
    "deeply nested": (GOOD[:-1] + b', "meta": {"a": ' + b"[" * 9000 + b"]" * 9000 + b"}}", False),
    "a number out of range": (GOOD[:-1] + b', "meta": {"a": 1e999}}', False),
    "a key twice": (GOOD[:-1] + b', "category": "closed_qa"}', True),
    "a key in escapes": (GOOD.replace(b'"context"', b'"c\\u006fntext"'), True),
    "two rows on a line": (GOOD + GOOD, False),
    "a comma at the end": (GOOD + b",", False),
}


@pytest.mark.parametrize(("data", "good"), LINES.values(), ids=LINES.keys())
def test_the_command_and_training_read_files_alike(tmp_path: Path, data: bytes, good: bool) -> None:
    path = write(tmp_path / "rows.jsonl", data)
    report = clean([path], tmp_path / "clean.jsonl", rules(), processes=1)
    unusable = {"not_utf8", "not_json", "schema", "category", "empty"}
    assert (not unusable & {name for name, count in report.rejected.items() if count}) is good
    if good:
        assert load_rows(path)
    else:
        with pytest.raises(UserError, match=r"rows\.jsonl"):
            load_rows(path)


def test_a_row_is_found_again_by_its_place(tmp_path: Path) -> None:
    lines = [BOM + json.dumps(row("하나")).encode() + b"\r", b"", json.dumps(row("둘")).encode()]
    path = write(tmp_path / "rows.jsonl", *lines)
    found = list(rows_of_file(path, Row))
    assert [made.instruction for made, _ in found] == ["하나", "둘"]
    assert [row_at(path, place, False) for _, place in found] == [made for made, _ in found]


def test_rows_where_pairs_are_wanted_are_named_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1: a preference pair \(method dpo"):
        load_rows(write(tmp_path / "pairs.jsonl", pair(rejected="감자")))
    with pytest.raises(UserError, match="line 1: a row with one answer, not a preference pair"):
        list(rows_of_file(write(tmp_path / "rows.jsonl", row()), Pair))


def test_check_and_training_say_the_same_of_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row(), row(response="\u200b"))
    shown = CliRunner().invoke(root, ["data", "check", str(path)]).output
    assert "empty" in shown
    with pytest.raises(UserError, match="line 2: the response is blank"):
        load_rows(path)
