"""Files of every kind, packed, broken and in odd encodings: records with their lines, or a reason."""

import csv
import gzip
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import zstd
from common.errors import UserError
from finetune.data.convert.run import ConvertRequest, convert
from finetune.data.convert.sources import batches, open_source, records
from finetune.files.json_spans import json_spans
from tests.support.convert_samples import (
    ALPACA,
    CHAT,
    KORQUAD_1,
    converted,
    read_lines,
    write_lines,
)
from tests.support.processes import kodolly

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ROW = st.fixed_dictionaries({"instruction": TEXT, "output": TEXT})


def lines_of(path: Path) -> list[tuple[int, Any]]:
    source = open_source(path)
    return [found for batch in batches(source) for found in records(batch, source.encoding)]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(TEXT, st.one_of(TEXT, st.lists(TEXT, max_size=2), st.dictionaries(TEXT, TEXT)))
    ),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    wrapped=st.booleans(),
    size=st.integers(1, 40),
)
def test_json_is_cut_into_the_records_that_a_parser_sees(
    rows: list[dict[str, Any]], indent: int | None, ascii_only: bool, wrapped: bool, size: int
) -> None:
    value: Any = {"version": "1", "data": rows, "after": [{"x": 1}]} if wrapped else rows
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    spans = list(json_spans((text[at : at + size] for at in range(0, len(text), size)), "a.json"))
    assert [json.loads(span) for _, span in spans] == rows
    rest = 0
    for line, span in spans:
        rest = text.index(span, rest)
        assert line == text.count(b"\n", 0, rest) + 1
        rest += len(span)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=5), cut=st.integers(1, 400), size=st.integers(1, 50))
def test_json_that_was_cut_off_is_never_taken_for_whole(rows: list[Any], cut: int, size: int) -> None:
    text = json.dumps(rows, ensure_ascii=False, indent=1).encode()
    text = text[: len(text) - 1 - cut % (len(text) - 1)]
    with pytest.raises(UserError, match=r"a\.json, line \d+: the file ends"):
        list(json_spans((text[at : at + size] for at in range(0, len(text), size)), "a.json"))


def test_objects_one_after_the_other_are_records_and_what_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ALPACA, indent=2, ensure_ascii=False) * 2)
    assert [record["output"] for _, record in lines_of(path)] == [ALPACA["output"]] * 2
    path.write_text(json.dumps([ALPACA, "글", [1], ALPACA, ALPACA]))
    _, refusals, _ = converted(path)
    assert [refusal["reason"] for refusal in refusals] == ["not a JSON object"] * 2


PACKED: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gz": gzip.compress, "zst": zstd.compress}


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    "kind", ["jsonl", "json", "csv", "tsv", pytest.param("parquet", marks=pytest.mark.slow)]
)
def test_every_kind_of_file_gives_the_same_rows(kind: str, mark: bytes, pack: str, tmp_path: Path) -> None:
    wanted = [
        {"question": f'{n}층에는 무엇이 있나요?\n둘째 줄, "따옴표"', "answer": f"서점이\t{n}개"}
        for n in range(3)
    ]
    if kind == "jsonl":
        data = "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in wanted).encode()
    elif kind == "json":
        data = json.dumps(wanted, indent=1).encode()
    elif kind == "parquet":
        if mark or pack != "plain":
            pytest.skip("Parquet is binary and compresses by itself")
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        sink = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(wanted), sink)
        data = sink.getvalue()
    else:
        table = io.StringIO()
        writer = csv.DictWriter(table, wanted[0], delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        writer.writerows(wanted)
        data = table.getvalue().encode()
    data = mark + data
    data = PACKED[pack](data)
    path = tmp_path / (f"in.{kind}" + ("" if pack == "plain" else f".{pack}"))
    path.write_bytes(data)
    rows, refusals, _ = converted(path)
    assert refusals == []
    assert [(row["instruction"], row["response"]) for row in rows] == [
        (w["question"], w["answer"]) for w in wanted
    ]


def test_the_kind_is_known_by_the_content_where_the_name_says_nothing(tmp_path: Path) -> None:
    for text in (
        json.dumps([ALPACA, ALPACA]),
        json.dumps(ALPACA) + "\n" + json.dumps(ALPACA),
        "instruction,output\n가?,나\n다?,라\n",
        "instruction\toutput\n가?,마\t나\n다?\t라",
    ):
        for name in ("data", "data.txt", "data.json", "data.jsonl"):
            if name.startswith("data.j") and "{" not in text:
                continue
            path = tmp_path / name
            path.write_text(text)
            assert len(converted(path)[0]) == 2


@pytest.mark.slow
def test_broken_line_400_001_is_named_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    line = b'{"instruction": "\xeb\xac\xbc?", "output": "\xeb\x8b\xb5"}\n'
    path.write_bytes(line * 400_000 + line[:-2] + b"\n" + line * 9)
    done = convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    assert done.output.read_bytes().count(b"\n") == done.total.rows == 400_009
    assert done.rejects is not None
    refusals = read_lines(done.rejects)
    assert [(refusal["file"], refusal["line"]) for refusal in refusals] == [(str(path), 400_001)]
    assert refusals[0]["reason"].startswith("not valid JSON")
    assert done.total.reasons.popitem()[1].line == 400_001


def test_lines_in_another_encoding_are_named_with_a_guess(tmp_path: Path) -> None:
    good = json.dumps(ALPACA, ensure_ascii=False).encode()
    foreign = json.dumps(ALPACA, ensure_ascii=False).encode("cp949")
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join([good, good, foreign, good, b'{"instruction": "\xff"}']))
    rows, refusals, _ = converted(path)
    assert len(rows) == 3
    assert [refusal["line"] for refusal in refusals] == [3, 5]
    assert refusals[0]["reason"] == "byte 18 of the record is not UTF-8 text; it looks like CP949"


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_a_file_all_in_cp949_is_read(kind: str, tmp_path: Path) -> None:
    row = {"질문": "뚝배기는 어떻게 씻나요?", "답변": "쌀뜨물로 씻고 말립니다."}
    text = {
        "jsonl": json.dumps(row, ensure_ascii=False) + "\n" + json.dumps(row, ensure_ascii=False),
        "json": json.dumps([row, row], ensure_ascii=False),
        "csv": "question,answer\n" + f"{row['질문']},{row['답변']}\n" * 2,
    }[kind]
    path = tmp_path / f"in.{kind}"
    path.write_bytes(text.encode("cp949"))
    rows, _, _ = converted(path)
    assert [row["response"] for row in rows] == ["쌀뜨물로 씻고 말립니다."] * 2


def test_a_table_from_excel_in_utf_16_is_read_and_json_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes("질문\t답변\n비 오나?\t안 옵니다.\n".encode("utf-16"))
    assert converted(path)[0][0]["response"] == "안 옵니다."
    path = tmp_path / "in.json"
    path.write_bytes(json.dumps([ALPACA]).encode("utf-16"))
    with pytest.raises(UserError, match="is UTF-16 text. Save it as UTF-8"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))


def test_rows_of_a_table_with_missing_cells_or_foreign_bytes_are_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    head = '질문,답변\n가?,나\n"둘\n째?",라\n'.encode()
    path.write_bytes(
        head + b"only one\n" + "마?,바\n".encode() + "사?,아".encode("cp949") + "\n자?,차\n카?,타\n".encode()
    )
    rows, refusals, _ = converted(path)
    assert [row["response"] for row in rows] == ["나", "라", "바", "차", "타"]
    assert [(refusal["line"], refusal["reason"]) for refusal in refusals] == [
        (5, "1 cells where the header has 2"),
        (7, "half a character, or bytes of another encoding"),
    ]


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8),
    delimiter=st.sampled_from([",", "\t", ";"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_table_is_read_as_it_was_written(
    cells: list[tuple[str, str]], delimiter: str, line_end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = io.StringIO()
    writer = csv.writer(table, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([("질문", "답변"), *cells])
    path = tmp_path_factory.mktemp("table") / ("in.tsv" if delimiter == "\t" else "in.csv")
    path.write_bytes(table.getvalue().encode())
    found = lines_of(path)
    assert [tuple(record.values()) for _, record in found] == cells
    assert found[0][0] == 2


def test_quotation_marks_are_text_in_a_tsv_where_they_hold_nothing_together(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text('질문\t답변\n"안녕"이라는 말은?\t인사\n5" 화면은?\t작습니다.\n')
    assert [row["instruction"] for row in converted(path)[0]] == ['"안녕"이라는 말은?', '5" 화면은?']


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.jsonl", b"\n \n", "a.jsonl is empty"),
        ("a.json", b"[]", "holds no records"),
        ("a.json", b'"text"', "holds neither JSON, JSON Lines, CSV"),
        ("a.bin", b"\0\1\2\3" * 99, "is no text file"),
        ("a.xlsx", b"PK\x03\x04rest", "a zip archive or an Excel file"),
        ("a.parquet", b"PAR1 and no more", "the Parquet file is broken"),
        (
            "a.json",
            b'[{"instruction": "x", "output": "y"}, {"instr',
            "line 1: the file ends within the record",
        ),
        ("a.json", b'[{"instruction": "x", "output": "y"}\n', "line 2: the file ends before its array does"),
        ("a.json", b'[{"instruction": "x", "output": "y"}]]', "a closing bracket too many"),
        ("a.jsonl.gz", gzip.compress(json.dumps(ALPACA).encode())[:-12], "the compressed file is broken"),
        ("a.json.gz", gzip.compress(json.dumps([ALPACA]).encode())[:-12], "the compressed file is broken"),
        (
            "a.csv",
            'Q,A\n가,나\n"다,라\n'.encode(),
            "line 3: a quotation mark is opened in this row and never",
        ),
    ],
)
def test_a_file_that_cannot_be_read_whole_is_refused_whole(
    name: str, data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError, match=re.escape(words)):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    assert list(tmp_path.iterdir()) == [path]


def test_zstandard_data_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    whole = zstd.compress(b"".join(json.dumps(ALPACA | {"id": n}).encode() + b"\n" for n in range(9999)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="compressed file is broken|cannot be read"):
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_mostly_broken_is_refused_and_the_old_output_stays(tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    output.write_text("old")
    path = write_lines(tmp_path / "in.jsonl", ALPACA, {"instruction": 3}, {"instruction": [1]}, {"a": "b"})
    with pytest.raises(UserError, match="3 of 4 records are not, most often: 'output' is missing"):
        convert(ConvertRequest((path,), output, format="alpaca"))
    assert output.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [path, output]


def test_several_files_and_directories_make_one_output_each_with_its_own_format(tmp_path: Path) -> None:
    folder = tmp_path / "korquad"
    folder.mkdir()
    for n in range(2):
        (folder / f"part_{n}.json").write_text(json.dumps({"data": [KORQUAD_1]}))
    (folder / "README.md").write_text("text")
    chat = write_lines(tmp_path / "chat.jsonl", CHAT, {"Q": " ", "A": "빈 질문"})
    done = convert(ConvertRequest((folder, chat), tmp_path / "rows.jsonl"))
    assert [(Path(file.file).name, file.format, file.counts.rows) for file in done.files] == [
        ("part_0.json", "korquad-1", 2),
        ("part_1.json", "korquad-1", 2),
        ("chat.jsonl", "table", 1),
    ]
    assert done.total.rows == 5
    assert [refusal["reason"] for refusal in read_lines(tmp_path / "rows.rejected.jsonl")] == [
        "the instruction is empty"
    ]
    cleaner = convert(ConvertRequest((folder,), tmp_path / "rows.jsonl"))
    assert cleaner.rejects is None
    assert not (tmp_path / "rows.rejected.jsonl").exists()


@pytest.mark.slow
def test_the_command_shows_what_became_of_each_file_and_refuses_in_one_line(tmp_path: Path) -> None:
    write_lines(tmp_path / "KorQuAD_v1.0_train.jsonl", KORQUAD_1)
    done = subprocess.run(
        kodolly("data", "convert", "KorQuAD_v1.0_train.jsonl", "rows.jsonl"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "KorQuAD_v1.0_train.jsonl (korquad-1): 1 records, 2 rows",
        "  Licence CC-BY-ND-2.0-KR: train on these rows, but don't publish them.",
        "rows.jsonl: 2 rows",
    ]
    for args, words in (
        (["none.jsonl", "rows.jsonl"], "kodolly: none.jsonl cannot be read: No such file or directory."),
        (["KorQuAD_v1.0_train.jsonl", "o.jsonl", "--column", "x"], "'x' is not FIELD=COLUMN"),
        (["KorQuAD_v1.0_train.jsonl", "o.jsonl", "--pairs", "--strict"], "are different rows"),
    ):
        failed = subprocess.run(
            kodolly("data", "convert", *args), cwd=tmp_path, capture_output=True, text=True
        )
        assert failed.returncode == 2
        assert words in failed.stderr
        assert "Traceback" not in failed.stderr
