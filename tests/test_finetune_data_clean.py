"""Cleaning rows: files, preference pairs, that no row goes missing, and the command at full strength."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from common import zstd
from common.errors import UserError
from finetune.data.clean.rules import rules
from finetune.data.clean.run import clean
from finetune.files.outputs import rejects_path
from finetune.rows.characters import mend_text
from finetune.rows.fast_row import UnusableLine, parse_row, write_row
from finetune.rows.reasons import MENDED, REJECTED
from finetune.rows.row import Pair, Row
from kodolly.cli import root
from tests.support.clean_rows import ANSWER, BROKEN, pair, rejects, row, write
from tests.support.real_data import KOALPACA, real_data


def test_preference_pairs_are_cleaned_as_rows_are(tmp_path: Path) -> None:
    source = write(
        tmp_path / "pairs.jsonl",
        pair(rejected="죄송하지만 알려 드릴 수 없습니다.\r\n"),
        pair("죄송하지만 알려 드릴 수 없습니다."),
        pair(rejected="<div>상추</div>"),
        pair(rejected=ANSWER),
        pair(rejected="죄송하지만 알려 드릴 수 없습니다."),
        pair(rejected="감자는 어떨까요? 저는 잘 모르겠습니다.", category="brainstorming", meta={"id": 1}),
        pair(rejected="무엇이든 좋습니다.", category="잡담"),
    )
    output = tmp_path / "clean.jsonl"
    report = clean([source], output, rules(), processes=1)
    assert [entry["reason"] for entry in rejects(output)] == [
        "refusal",
        "html",
        "schema",
        "duplicate",
        "category",
    ]
    kept = [Pair.model_validate_json(line) for line in output.read_bytes().splitlines()]
    assert [(made.rejected[-7:], made.category) for made in kept] == [
        ("수 없습니다.", None),
        ("모르겠습니다.", "brainstorming"),
    ]
    assert report.categories == {"": 1, "brainstorming": 1}
    assert report.mended == {"outer_blanks": 1, "line_ends": 1}


# Files


def two_frames(data: bytes) -> bytes:
    return zstd.compress(data[:50]) + zstd.compress(data[50:])


def marked(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, two_frames, marked])
def test_packed_files_and_byte_order_marks_are_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    plain = write(tmp_path / "plain.jsonl", row(), BROKEN["html"])
    packed = tmp_path / "packed"
    packed.write_bytes(pack(plain.read_bytes().replace(b"\n", b"\r\n")))
    report = clean([packed], tmp_path / "clean.jsonl", rules(), processes=1)
    assert (report.kept, report.rejected) == (1, {"html": 1})
    assert rejects(tmp_path / "clean.jsonl")[0]["line"] == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"{}\n" * 9999)[:-30], "the compressed file is broken"),
        (zstd.compress(b"{}\n" * 9999)[:-4], "the compressed file is broken"),
        ("가\n".encode("utf-16"), "UTF-16"),
    ],
    ids=["gzip", "zstd", "utf-16"],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_is_written(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        clean([path], tmp_path / "clean.jsonl", rules(), processes=1)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "clean.jsonl").exists()


def test_a_run_refuses_to_write_what_it_reads_or_what_another_run_writes(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", row())
    with pytest.raises(UserError, match="cannot be written at the same time"):
        clean([path], path, rules(), processes=1)
    with pytest.raises(UserError, match="cannot be read"):
        clean([tmp_path / "none.jsonl"], tmp_path / "clean.jsonl", rules(), processes=1)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UserError, match="no rows there"):
        clean([tmp_path / "empty.jsonl"], tmp_path / "clean.jsonl", rules(), processes=1)
    (tmp_path / "empty.jsonl").unlink()
    output = tmp_path / "clean.jsonl"

    def second_run(_progress: object) -> None:
        with pytest.raises(UserError, match="Another run is writing"):
            clean([path], output, rules(), processes=1)

    assert clean([path], output, rules(), processes=1, report=second_run).kept == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "clean.jsonl",
        "clean.rejected.jsonl",
        "rows.jsonl",
    ]


# Properties

odd_text = st.text(
    st.one_of(
        st.sampled_from(
            "가나다라 \n\t.,1\u200b\u00a0\u200d\r\u2028\ufeff\u1112\u1161\u11ab\x00\x9fAé😀#<>|`[]&;@-0"
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)
categories = st.sampled_from(["open_qa", "closed_qa", "잡담"])


@st.composite
def any_line(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        # Not as the file's first bytes, where they could say that it is packed or UTF-16.
        return b"x" + draw(st.binary(max_size=40)).replace(b"\n", b"")
    made: dict[str, Any] = {
        "instruction": draw(odd_text),
        "context": draw(odd_text),
        "response": draw(odd_text),
        "category": draw(categories),
    }
    if draw(st.booleans()):
        made["history"] = [
            {"role": role, "content": draw(odd_text)}
            for role in draw(st.sampled_from([(), ("user", "assistant"), ("system",), ("user",)]))
        ]
    if draw(st.booleans()):
        made["meta"] = draw(
            st.dictionaries(
                st.sampled_from(["id", "answer_start", "licence"]), st.integers(-3, 60) | odd_text
            )
        )
    return json.dumps(made, ensure_ascii=draw(st.booleans())).encode()


@given(odd_text)
@example("\u1100\u200b\u1161")
@example("010-\u200b1234-5678")
@example("\u200b \u200b")
def test_mending_a_text_again_changes_nothing(text: str) -> None:
    mended, names = mend_text(text)
    assert mend_text(mended) == (mended, set())
    assert names <= MENDED.keys()
    assert unicodedata.is_normalized("NFC", mended)


@given(
    st.fixed_dictionaries(
        {"instruction": odd_text, "chosen": odd_text, "rejected": odd_text},
        optional={"context": odd_text, "category": categories | st.none()},
    )
)
def test_pairs_are_read_and_refused_as_training_does(made: dict[str, Any]) -> None:
    try:
        expected = Pair.model_validate(made)
    except ValidationError:
        with pytest.raises(UnusableLine):
            parse_row(json.dumps(made).encode())
        return
    assert Pair.model_validate_json(write_row(parse_row(json.dumps(made).encode()))) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=5,
)
row_keys = st.sampled_from(["instruction", "context", "response", "category", "history", "meta", "extra"])


@given(
    st.fixed_dictionaries(
        {"instruction": odd_text, "response": odd_text, "category": categories},
        optional={
            "context": odd_text,
            "meta": st.dictionaries(odd_text, json_values, max_size=2),
            "history": st.lists(
                st.fixed_dictionaries(
                    {"role": st.sampled_from(["user", "assistant", "system"]), "content": odd_text}
                ),
                max_size=4,
            ),
        },
    )
    | st.dictionaries(row_keys, json_values)
)
def test_lines_are_read_and_refused_as_rows_are(made: dict[str, Any]) -> None:
    try:
        expected = Row.model_validate(made)
    except ValidationError:
        with pytest.raises(UnusableLine):
            parse_row(json.dumps(made).encode())
        return
    read = parse_row(json.dumps(made).encode())
    assert Row.model_validate_json(write_row(read)) == expected


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(any_line(), max_size=12), min_size=1, max_size=2), st.integers(20, 2000))
def test_no_row_is_lost_and_clean_rows_stay_as_they_are(
    tmp_path: Path, files: list[list[bytes]], chunk_size: int
) -> None:
    inputs = []
    for number, lines in enumerate(files):
        inputs.append(tmp_path / f"{number}.jsonl")
        inputs[-1].write_bytes(b"\n".join(lines))
    read = sum(bool(line.strip()) for path in inputs for line in path.read_bytes().split(b"\n"))
    assume(read)
    output = tmp_path / "clean.jsonl"
    report = clean(inputs, output, rules(), processes=1, chunk_size=chunk_size)
    kept = output.read_bytes()
    dropped = rejects(output)
    assert report.read == read == kept.count(b"\n") + len(dropped)
    assert report.kept == kept.count(b"\n")
    assert {entry["reason"] for entry in dropped} <= REJECTED.keys()
    assert len({(entry["file"], entry["line"]) for entry in dropped}) == len(dropped)
    for line in kept.splitlines():
        Row.model_validate_json(line)

    if not kept:
        return
    again = tmp_path / "again.jsonl"
    second = clean([output], again, rules(), processes=1)
    assert (second.rejected, second.mended) == ({}, {})
    assert again.read_bytes() == kept


# At full strength


def many(path: Path, count: int) -> Path:
    draw = random.Random(9)
    words = [chr(0xAC00 + draw.randrange(11000)) * 2 for _ in range(400)]
    lines: list[Any] = []
    for number in range(count):
        kind = draw.random()
        if kind < 0.1 and lines:
            lines.append(draw.choice(lines))
        elif kind < 0.15:
            lines.append(draw.choice(list(BROKEN.values())))
        else:
            lines.append(row(f"{number}번 질문입니다.", " ".join(draw.choices(words, k=40)) + "."))
    return write(path, *lines)


@pytest.mark.slow
def test_all_cores_give_what_one_gives(tmp_path: Path) -> None:
    source = many(tmp_path / "rows.jsonl", 3000)
    results = []
    for number, (processes, chunk_size) in enumerate(((1, 4_000_000), (2, 50_000))):
        output = tmp_path / f"{number}.jsonl"
        report = clean([source], output, rules(), processes=processes, chunk_size=chunk_size)
        results.append((output.read_bytes(), rejects_path(output).read_bytes(), report))
    assert results[0] == results[1]


KILLED = """
import signal, sys
from pathlib import Path
from finetune.data.clean.run import clean
from finetune.data.clean.rules import rules

def report(progress):
    if progress.stage == "cleaning" and progress.done > 0.4:
        print("half", flush=True)
        signal.pause()

if __name__ == "__main__":
    clean([Path(sys.argv[1])], Path(sys.argv[2]), rules(), processes=2, chunk_size=50_000, report=report)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    source = many(tmp_path / "rows.jsonl", 3000)
    output = tmp_path / "clean.jsonl"
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    run = subprocess.Popen(
        [sys.executable, str(script), str(source), str(output)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "half\n"
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    run.send_signal(signal.SIGKILL)
    run.communicate()  # ends when the last worker, which holds the pipe too, is gone
    assert children
    work = output.with_name("clean.jsonl.work")
    done = {path: path.stat().st_mtime_ns for path in work.glob("*.rows")}
    assert len(list(work.glob("*.json"))) >= 3
    assert not output.exists()

    whole = {path.stem for path in work.glob("[0-9]*.json")}
    judged_again: list[Path] = []

    def look(_progress: object) -> None:
        judged_again.extend(
            path
            for path in done
            if path.exists() and path.stem in whole and path.stat().st_mtime_ns != done[path]
        )

    report = clean([source], output, rules(), processes=1, chunk_size=50_000, report=look)
    assert judged_again == []
    fresh = tmp_path / "fresh.jsonl"
    assert clean([source], fresh, rules(), processes=1) == report
    assert output.read_bytes() == fresh.read_bytes()
    assert rejects_path(output).read_bytes() == rejects_path(fresh).read_bytes()
    assert not work.exists()


@pytest.mark.slow
def test_the_command_writes_rows_rejects_and_a_report(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", row(), row(), *BROKEN.values())
    output = tmp_path / "clean.jsonl"
    result = CliRunner().invoke(root, ["data", "clean", str(source), str(output)])
    assert result.exit_code == 0, result.output
    assert f"{len(BROKEN) + 2} rows read, 1 kept" in result.output
    report = tmp_path / "clean.report"
    figures = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert figures["rejected"]["duplicate"] == 1
    page = (report / "report.md").read_text(encoding="utf-8")
    for reason in (*BROKEN, "duplicate"):
        assert f"### `{reason}`" in page
    assert "占쏙옙" in page
    for plot in ("rejected.png", "lengths.png"):
        assert (report / plot).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_published_rows_are_mostly_kept(tmp_path: Path) -> None:
    records = json.loads(real_data(KOALPACA).read_text(encoding="utf-8"))
    lines = [row(r["instruction"], r["output"], context=r["input"]) for r in records if r["output"].strip()]
    report = clean([write(tmp_path / "rows.jsonl", *lines)], tmp_path / "clean.jsonl", rules())
    assert 0.98 < report.kept / report.read < 1
    assert report.mended["placeholder_context"] > 50
