"""Scores, intervals, KorQuAD's official definition, KoBEST's tables, comparisons: what needs no model."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from finetune.eval.compare import compare
from finetune.eval.comparison_files import to_markdown, write_comparison
from finetune.eval.intervals import difference, estimate, wilson
from finetune.eval.kobest_data import TASKS, KobestTask, find_tables, read_table
from finetune.eval.korquad import character_f1, contains, exact_match, normalise, read_questions, to_messages
from finetune.eval.report import EvalReport, Sample, read_report, score, write_json
from kodolly.cli import root
from tests.support.evaluation_files import TABLES, korquad_file, write_tables
from tests.support.real_data import KOBEST, real_data


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_macro_f1_is_scikit_learns_and_lies_in_its_interval_or_at_its_end(
    pairs: list[tuple[int, int]],
) -> None:
    from sklearn.metrics import f1_score

    found = estimate("macro_f1", pairs)
    golds, predictions = zip(*pairs, strict=True)
    assert found.value == pytest.approx(f1_score(golds, predictions, average="macro", zero_division=0))
    assert 0 <= found.low <= found.high <= 1


def test_the_interval_of_a_share_is_as_wide_as_theory_says() -> None:
    items = [[1.0]] * 120 + [[0.0]] * 280
    found = estimate("accuracy", items)
    half = 1.96 * float(np.sqrt(0.3 * 0.7 / 400))
    assert found.value == pytest.approx(0.3)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_perplexity_weighs_tokens_and_bits_are_of_base_two() -> None:
    items = [(2.0, 4), (6.0, 12)]
    assert estimate("perplexity", items).value == pytest.approx(float(np.exp(0.5)))
    assert estimate("bits_per_character", items).value == pytest.approx(0.5 / float(np.log(2)))


@pytest.mark.slow
def test_a_paired_difference_is_far_narrower_than_two_intervals() -> None:
    generator = np.random.default_rng(7)
    hard = generator.random(500) < 0.5
    before = [[float(value)] for value in hard]
    after = [[float(value or n % 50 == 0)] for n, value in enumerate(hard)]
    change = difference("accuracy", before, after)
    alone = estimate("accuracy", before)
    assert change.low > 0
    assert change.high - change.low < (alone.high - alone.low) / 2


def test_wilson_stays_inside_zero_and_one() -> None:
    nothing, some = wilson(0, 5), wilson(3, 10)
    assert (nothing.low, nothing.value) == (0.0, 0.0)
    assert nothing.high == pytest.approx(0.4345, abs=1e-3)
    assert (some.low, some.high) == pytest.approx((0.1078, 0.6032), abs=1e-3)


@pytest.mark.parametrize(
    ("said", "wanted", "exact", "f1"),
    [
        ("‘1996년 9월 24일’", "1996년 9월 24일", 1, 1),
        ("《토지》", "토지", 1, 1),
        ("Seoul.", "seoul", 1, 1),
        ("한강 공원", "한강공원", 0, 1),  # spaces matter to exact match only
        ("한강", "한강공원", 0, 2 / 3),
        ("모르겠습니다", "24일", 0, 0),
        ("", "24일", 0, 0),
    ],
)
def test_korquad_scores_are_the_official_ones(said: str, wanted: str, exact: float, f1: float) -> None:
    assert exact_match(said, [wanted]) == exact
    assert character_f1(said, [wanted]) == pytest.approx(f1)


@given(st.text(max_size=30))
def test_an_answer_is_itself_however_it_is_dressed(text: str) -> None:
    assert exact_match(f"《{text}》.", [text]) == 1.0
    assert normalise(normalise(text)) == normalise(text)


def test_the_best_of_several_answers_counts_and_contains_looks_inside() -> None:
    assert exact_match("두 마리", ["세 마리", "두 마리"]) == 1.0
    assert contains("정답은 두 마리입니다.", ["두마리"]) == 1.0
    assert contains("정답은 없습니다.", ["두 마리"]) == 0.0


def test_korquad_questions_carry_their_paragraph_as_rows_carry_context(tmp_path: Path) -> None:
    path = korquad_file(tmp_path / "dev.json", [("누가 왔나요?", "민수가 어제 왔다.", "민수")])
    (item,) = read_questions(path)
    assert to_messages(item, "{question}") == [
        {"role": "user", "content": "누가 왔나요?\n\nInput:\n민수가 어제 왔다."}
    ]


def test_another_json_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"rows\.json is no KorQuAD 1\.0 file"):
        read_questions(path)


def test_tables_are_read_as_the_harness_wants_them(tmp_path: Path) -> None:
    write_tables(tmp_path)
    items = {task: read_table(find_tables(tmp_path, task).questions, task) for task in TASKS}
    assert items["boolq"][0] == {"paragraph": '그는 "왔다" 갔다.', "question": "그는 왔나?", "label": 1}
    assert items["boolq"][1]["label"] == 0
    assert items["copa"][0]["label"] == 0  # written as 1, the first
    assert items["hellaswag"][0]["ending_4"] == "라"
    assert items["wic"][0]["label"] == 0


def test_the_test_table_comes_before_dev_and_a_named_split_must_be_there(tmp_path: Path) -> None:
    write_tables(tmp_path, "dev")
    assert find_tables(tmp_path, "copa").split == "dev"
    write_tables(tmp_path, "test_labeled")
    assert find_tables(tmp_path, "copa").split == "test"
    (tmp_path / "COPA" / "dev.tsv").unlink()
    with pytest.raises(UserError, match="holds no dev table"):
        find_tables(tmp_path, "copa", "dev")


@pytest.mark.parametrize(
    ("task", "table", "reason"),
    [
        ("boolq", "ID\tText\tQuestion\tAnswer\n1\t글\t질문\t아마\n", "line 2: the label '아마' is none of"),
        ("copa", TABLES["sentineg"], "no column"),
        ("copa", "ID\tsentence\tquestion\t1\t2\tAnswer\n1\t비\t이유\t가\t나\t1\n", "neither 원인 nor 결과"),
        ("sentineg", "ID\tLabel\tText\n", "holds no items"),
    ],
)
def test_a_broken_table_is_named_with_line_and_reason(
    tmp_path: Path, task: KobestTask, table: str, reason: str
) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(UserError, match=reason):
        read_table(path, task)


def test_every_item_of_the_real_tables_has_a_label() -> None:
    folder = real_data(KOBEST)
    counts = {task: len(read_table(find_tables(folder, task).questions, task)) for task in TASKS}
    assert counts == {"boolq": 700, "copa": 500, "hellaswag": 500, "sentineg": 400, "wic": 610}


def report(model: str, pairs: list[list[float]], asked: str = "same", shots: int = 0) -> EvalReport:
    return EvalReport(
        kind="kobest",
        model=model,
        source="checkpoint",
        scores=[score("copa", "macro_f1", pairs, asked)],
        settings={"shots": shots},
        samples=[Sample(question="하늘은 | 무슨\n색?", wanted="파랑", answer=f"{model}의 답")],
    )


BEFORE = [[float(n % 2), 0.0] for n in range(100)]
AFTER = [[float(n % 2), float(n % 2) if n % 3 else 0.0] for n in range(100)]


@pytest.mark.slow
def test_a_comparison_shows_change_published_figures_and_answers(tmp_path: Path) -> None:
    write_json(tmp_path / "base.json", report("base", BEFORE))
    write_json(tmp_path / "dolly.json", report("돌리", AFTER))
    out = tmp_path / "comparison"
    argv = ["eval", "compare", str(tmp_path / "base.json"), str(tmp_path / "dolly.json"), str(out)]
    ran = CliRunner().invoke(root, argv)
    assert ran.exit_code == 0, ran.output
    text = (out / "comparison.md").read_text(encoding="utf-8")
    assert "| copa | macro f1 | 0 | 100 | 0.3333" in text
    assert "better" in text
    assert "0.7196" in text  # polyglot-ko-1.3b, 0-shot
    assert "하늘은 \\| 무슨<br>색? | 파랑 | base의 답 | 돌리의 답" in text
    content = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert content["rows"][0]["differences"]["돌리"]["low"] > 0
    assert (out / "macro_f1-0-shot.png").read_bytes().startswith(b"\x89PNG")


def test_scores_of_other_items_are_shown_but_not_subtracted() -> None:
    made = compare([report("base", BEFORE), report("dolly", AFTER, asked="other")])
    assert made.rows[0].differences == {}
    assert "better" not in to_markdown(made)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reports of two models"):
        compare([report("base", BEFORE)])
    with pytest.raises(UserError, match="Two reports of base both have macro_f1 of copa"):
        compare([report("base", BEFORE), report("base", AFTER), report("dolly", AFTER)])
    (tmp_path / "rows.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="is not a report"):
        read_report(tmp_path / "rows.jsonl")


@pytest.mark.slow
def test_published_figures_stand_beside_every_number_of_shots_that_has_them(tmp_path: Path) -> None:
    made = compare([report("base", BEFORE, shots=3), report("dolly", AFTER, shots=3)])
    assert made.rows[0].published == {}
    assert all(path.exists() for path in write_comparison(made, tmp_path))


@pytest.mark.slow
def test_plots_show_hangul_on_a_machine_without_korean_fonts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import font_manager

    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in str(font.fname)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    # A missing glyph is a warning, and a warning fails a test.
    write_comparison(compare([report("기본", BEFORE), report("돌리", AFTER)]), tmp_path)
    assert (tmp_path / "macro_f1-0-shot.png").read_bytes().startswith(b"\x89PNG")


def test_commands_say_what_is_missing(tmp_path: Path) -> None:
    for argv, reason in [
        (["eval", "kobest", "m"], "Say where KoBEST's tables are"),
        (["eval", "kobest", "m", "--data", "x", "--url", "http://127.0.0.1:9"], "take its tokenizer"),
        (["eval", "rows", str(tmp_path), "none.jsonl"], "cannot be read"),
    ]:
        ran = CliRunner().invoke(root, argv)
        assert isinstance(ran.exception, UserError)
        assert reason in str(ran.exception)


@pytest.mark.parametrize(
    ("argv", "missing", "extra"),
    [
        (["kobest", ".", "--data", "x"], "lm_eval", "eval"),
        (["kobest", ".", "--data", "x"], "torch", "finetune"),
        (["korquad", ".", "dev.json"], "numpy", "finetune"),
        (["rows", ".", "rows.jsonl"], "transformers", "finetune"),
        (["compare", "a", "b", "out"], "matplotlib", "finetune"),
        (["judge", "a", "out", "--judge", "j"], "numpy", "finetune"),
    ],
)
def test_a_missing_library_is_told_with_its_extra(
    argv: list[str], missing: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text("{}", encoding="utf-8")
    row = {"instruction": "왜?", "context": "", "response": "그래서.", "category": "open_qa"}
    Path("rows.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    ran = CliRunner().invoke(root, ["eval", *argv])
    assert isinstance(ran.exception, UserError)
    assert f"Install the extra `{extra}`" in ran.exception.hint
