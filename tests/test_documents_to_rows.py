"""`kodolly data from-documents`: what a teacher writes becomes rows only where the papers bear it out."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from common.errors import UserError
from documents.chunks import Chunk, Span
from finetune.eval.served_model import ServedModel
from finetune.progress import silent
from finetune.rows.fast_row import JsonRow, parse_row
from finetune.synthetic.grounding import checked
from finetune.synthetic.korean_numbers import figures_in, stated_in
from finetune.synthetic.passages import SourcePassage
from finetune.synthetic.speech_level import speech_levels
from finetune.synthetic.tasks import Candidate
from finetune.synthetic.teacher import TEXT, Teacher, TeacherRequest, UnusableAnswer, object_schema, parsed
from kodolly.cli import root
from tests.support.known_facts import Fact, write_papers
from tests.support.scripted_teacher import NAME, ScriptedTeacher, row_key, served


@dataclass
class Written:
    """What a run over two papers wrote and printed."""

    rows: list[JsonRow]
    path: Path
    printed: str
    facts: list[Fact]
    teacher: ScriptedTeacher


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Of a teacher that makes no mistake."""
    folder = tmp_path_factory.mktemp("papers")
    facts = write_papers(folder, offices=2, sections=4, seed=3)
    output = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    teacher = ScriptedTeacher(facts)
    with served(teacher) as url:
        done = run(folder, output, url, "--price", "1", "2", "--licence", "apache-2.0")
    assert done.exit_code == 0, done.output
    return Written(rows_of(output), output, done.output, facts, teacher)


@pytest.fixture
def paper(tmp_path: Path) -> tuple[Path, list[Fact]]:
    """One paper, and what it states."""
    folder = tmp_path / "papers"
    folder.mkdir()
    return folder, write_papers(folder, offices=1, sections=2, seed=5)


def run(folder: Path, output: Path, url: str, *options: str) -> Result:
    command = ["data", "from-documents", str(folder), str(output), "--model", NAME, "--url", url, *options]
    return CliRunner().invoke(root, command)


def rows_of(path: Path) -> list[JsonRow]:
    return [parse_row(line) for line in path.read_bytes().splitlines()]


def test_rows_say_where_they_come_from_and_a_tenth_is_unanswerable(written: Written) -> None:
    assert "2 files, 8 passages" in written.printed
    assert re.search(r"At most about \d+ requests, .* at these prices", written.printed)
    assert {row.category for row in written.rows} == {
        "closed_qa",
        "summarization",
        "information_extraction",
        "classification",
    }
    unanswerable = [row for row in written.rows if row.meta.get("answerable") is False]
    assert 0.05 <= len(unanswerable) / len(written.rows) <= 0.15
    stated = {fact.question: fact.sentence for fact in written.facts}
    for row in written.rows:
        assert str(row.meta["file"]).endswith(".md")
        assert (row.meta["model"], row.meta["licence"]) == (NAME, "apache-2.0")
        if row.category == "closed_qa" and row not in unanswerable:
            assert row.meta["quotes"] == [stated[row.instruction]]
            assert row.meta["checked"] in ("words", "second opinion")
    assert all(stated[row.instruction] not in row.context for row in unanswerable)


def test_most_right_rows_are_kept(written: Written) -> None:
    kept = {row_key(row.instruction, row.response, row.context) for row in written.rows}
    assert len(kept & set(written.teacher.proposed)) >= 0.95 * len(written.teacher.proposed)


def test_rows_of_files_survive_the_cleaner(written: Written) -> None:
    done = CliRunner().invoke(root, ["data", "check", str(written.path), "--processes", "1", "--commercial"])
    assert done.exit_code == 0, done.output


def test_no_schema_bounds_a_string(written: Written) -> None:
    schemas = [body["response_format"]["json_schema"]["schema"] for body in written.teacher.requests]
    assert schemas
    assert not re.search("maxLength|minLength", json.dumps(schemas))


def test_a_teacher_that_errs_is_caught(paper: tuple[Path, list[Fact]], tmp_path: Path) -> None:
    folder, facts = paper
    teacher = ScriptedTeacher(facts, errs=1.0)
    output = tmp_path / "rows.jsonl"
    with served(teacher) as url:
        done = run(folder, output, url)
    assert done.exit_code == 0, done.output
    assert len(set(teacher.proposed.values())) > 5
    assert rows_of(output) == []
    assert sum(map(int, re.findall(r"(\d+)  dropped: ", done.output))) == len(teacher.proposed)


def test_a_stopped_run_goes_on_with_what_was_answered(paper: tuple[Path, list[Fact]], tmp_path: Path) -> None:
    folder, facts = paper
    output = tmp_path / "rows.jsonl"
    teacher = ScriptedTeacher(facts, errs=0.2, fails_after=4)
    with served(teacher) as url:
        stopped = run(folder, output, url, "--concurrency", "1")
        assert isinstance(stopped.exception, UserError)
        assert "no more today" in str(stopped.exception)
        assert not output.exists()
        with (tmp_path / "rows.asked.jsonl").open("ab") as out:
            out.write(b'{"key": "cut by a k')
        teacher.fails_after = None
        assert run(folder, output, url, "--concurrency", "1").exit_code == 0
        asked = [json.dumps(body, ensure_ascii=False, sort_keys=True) for body in teacher.requests]
        assert len(asked) == len(set(asked))
        first = output.read_bytes()
        again = run(folder, output, url)
        assert "\n0 requests of this run" in again.output
        assert output.read_bytes() == first


def test_nothing_is_asked_in_a_dry_run(paper: tuple[Path, list[Fact]], tmp_path: Path) -> None:
    folder, facts = paper
    teacher = ScriptedTeacher(facts)
    with served(teacher) as url:
        assert run(folder, tmp_path / "rows.jsonl", url, "--dry-run").exit_code == 0
    assert teacher.requests == []
    assert not list(tmp_path.glob("rows*"))


def test_a_provider_may_only_teach_where_it_is_named(paper: tuple[Path, list[Fact]], tmp_path: Path) -> None:
    folder, facts = paper
    output = tmp_path / "rows.jsonl"
    teacher = ScriptedTeacher(facts, owned_by="openai")
    with served(teacher) as url:
        refused = run(folder, output, url)
        assert isinstance(refused.exception, UserError)
        assert f"--with {NAME}" in str(refused.exception.hint)
        assert teacher.requests == []
        assert run(folder, output, url, "--with", NAME, "--category", "closed_qa").exit_code == 0
    assert {row.meta["licence"] for row in rows_of(output)} == {"terms of openai"}


class Saying:
    """A model that says one thing."""

    name = "saying"

    def __init__(self, text: str, finish: str = "stop") -> None:
        self.said = text, finish

    def complete(self, *_: Any, **__: Any) -> dict[str, Any]:
        text, finish = self.said
        return {"choices": [{"message": {"content": text}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ('{"items": [{"question": "몇', "length", "cut off"),
        ('{"items": [', "stop", "not the JSON"),
        ('{"items": "없음"}', "stop", "not the JSON"),
        ("", "content_filter", "cut off"),
    ],
)
def test_what_cannot_be_read_is_never_mended(text: str, finish: str, reason: str, tmp_path: Path) -> None:
    kind = msgspec.defstruct("Kind", [("items", list[str])])
    request = TeacherRequest("", "", object_schema(items=TEXT), 10)
    teacher = Teacher(Saying(text, finish), tmp_path / "asked.jsonl", silent)
    (answer,) = teacher.answers([request], "asking")
    with pytest.raises(UnusableAnswer, match=reason):
        parsed(answer, kind)


PASSAGE = SourcePassage(
    "규정.pdf",
    Chunk(
        "직원의 연차휴가는 15일로 한다. 다만, 3년 이상 근속한 직원에게는 2년마다 1일을 가산하되 총 "
        "25일을 넘지 못한다. "
        "부서장이 승인하여야 한다.",
        (Span(2, 0, 80),),
        ("휴가",),
    ),
)
FIRST = "직원의 연차휴가는 15일로 한다."
MOST = "다만, 3년 이상 근속한 직원에게는 2년마다 1일을 가산하되 총 25일을 넘지 못한다."


def verdict(question: str, answer: str, quote: str) -> str:
    one = Candidate(PASSAGE, "closed_qa", question, answer, (quote,), ((answer, quote),))
    return checked([one])[0]


@pytest.mark.parametrize(
    ("question", "answer", "quote", "expected"),
    [
        ("직원의 연차휴가는 며칠인가요?", "15일입니다.", FIRST, "said"),
        ("직원의 연차 휴가는 며칠인가요?", "연차 휴가는 15일로 합니다.", FIRST, "said"),
        ("직원의 연차휴가는 며칠인가요?", "십오 일입니다.", FIRST, "said"),
        ("직원의 연차휴가는 며칠인가요?", "16일입니다.", FIRST, "a number is not in the quotation"),
        ("직원의 연차휴가는 며칠인가요?", "25일입니다.", FIRST, "a number is not in the quotation"),
        (
            "직원의 연차휴가는 며칠인가요?",
            "15일입니다.",
            "연차휴가는 해마다 15일이다.",
            "the quotation is not in the passage",
        ),
        ("직원의 연차휴가는 며칠인가요?", "15일입니다.", "", "no evidence is quoted"),
        ("연차휴가는 총 며칠을 넘지 못하나요?", "총 25일을 넘습니다.", MOST, "the answer denies"),
        (
            "연차휴가는 누가 승인하나요?",
            "대표이사가 승인하여야 합니다.",
            "부서장이 승인하여야 한다.",
            "doubtful",
        ),
        ("출장비 영수증은 어디에 내나요?", "15일입니다.", FIRST, "the quotation is about something else"),
    ],
)
def test_words_decide_what_they_can(question: str, answer: str, quote: str, expected: str) -> None:
    assert verdict(question, answer, quote).startswith(expected)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,000원과 3만 5천 원", {"1000", "35000"}),
        ("이십오 일 동안 두 명이", {"25", "2"}),
        ("사흘에 한 번, 열두 시간", {"3", "1", "12"}),
        ("3.0점, 2.5배", {"3", "2.5"}),
        ("일이 많아 이 일을 한다", set()),
        ("1억 2천만 원", {"120000000"}),
    ],
)
def test_numbers_are_read_in_figures_and_words(text: str, numbers: set[str]) -> None:
    assert numbers <= stated_in(text)
    assert figures_in(text) <= stated_in(text)
    assert numbers or not stated_in(text)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("연차는 15일입니다. 신청하세요.", {"formal"}),
        ("연차는 15일이에요. 신청하면 돼요.", {"polite"}),
        ("연차는 15일이다. 다만 예외가 있습니다.", {"plain", "formal"}),
        ("'연차는 15일로 한다.'라고 적혀 있습니다.", {"formal"}),
        ("- 연차\n- 병가", set()),
        ("```\n# 이것은 코드다.\n```\n위와 같이 씁니다.", {"formal"}),
    ],
)
def test_speech_levels(text: str, levels: set[str]) -> None:
    assert speech_levels(text) == levels


@pytest.fixture
def asked_twice(tmp_path: Path) -> Iterator[tuple[Teacher, ScriptedTeacher]]:
    scripted = ScriptedTeacher([])
    with served(scripted) as url, closing(ServedModel(url, NAME)) as model:
        yield Teacher(model, tmp_path / "asked.jsonl", silent), scripted


def test_the_same_request_is_asked_once(asked_twice: tuple[Teacher, ScriptedTeacher]) -> None:
    teacher, scripted = asked_twice
    request = TeacherRequest("", "<글>\n글\n</글>\n\n질문: 몇?", object_schema(verdict=TEXT), 10)
    first, second = teacher.answers([request, request], "asking")
    assert first == second
    assert len(scripted.requests) == 1
