"""`kodolly train moderation`: labelled dialogues to a model that tells the seven classes apart."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import finetune.demo
from common.errors import UserError
from common.sentences import LONGEST, cut_sentences, split_sentences
from finetune.moderation.calibrate import thresholds
from finetune.moderation.dialogues import Sentence, read_dialogues
from finetune.moderation.fit import fit, rows_of
from finetune.moderation.run import part_of
from kodolly.cli import root
from moderation.classes import CLASSES, OPENAI_CATEGORIES, openai_scores
from moderation.features import runs_of
from moderation.model import load_model
from tests.support.moderation_data import CLEAN, ENDINGS, dialogues, trained, write_dialogues

DEMO = Path(finetune.demo.__path__[0])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(root, ["train", "moderation", *map(str, arguments)])


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("moderation"))


def test_each_class_is_told_from_the_others_and_from_clean_text(model_dir: Path) -> None:
    model = load_model(model_dir)
    for name, words in ENDINGS.items():
        verdict = model.judge(f"그런데 {words}.")
        found = {CLASSES[i] for i, level in enumerate(verdict.levels) if level}
        assert name in found, (name, verdict)
    for words in CLEAN:
        assert not model.judge(words).flagged, words
    assert not model.judge("").flagged
    assert not model.judge("#@인간및인간집단.인물.유명인# \n https://example.com ").flagged


def test_one_bad_sentence_is_found_within_a_long_clean_text(model_dir: Path) -> None:
    model = load_model(model_dir)
    clean = ". ".join(CLEAN * 20) + ". "
    assert not model.judge(clean).flagged
    assert model.judge(f"{clean}{ENDINGS['ABUSE']}. {clean}").flagged


def test_levels_rise_with_the_score_and_the_report_stands_beside_the_model(model_dir: Path) -> None:
    card = json.loads((model_dir / "kodolly.json").read_text(encoding="utf-8"))
    assert card["kind"] == "moderation"
    for levels in card["thresholds"].values():
        assert 0 < levels["low"] <= levels["medium"] <= levels["high"]
    report = json.loads((model_dir / "report.json").read_text(encoding="utf-8"))
    assert report["dialogues"] == 28
    assert report["false_alarms"]["of"] == 56
    assert report["f1"].keys() == set(CLASSES)
    assert {path.suffix for path in model_dir.iterdir()} == {".json", ".safetensors"}


def test_the_command_shows_false_alarms_first_and_takes_clean_text(tmp_path: Path) -> None:
    data = write_dialogues(tmp_path / "ethics.json", dialogues(21))
    (tmp_path / "clean.txt").write_text("창문을 열어 주세요. 바람이 시원합니다.\n", encoding="utf-8")
    done = run(data, tmp_path / "made", "--clean", tmp_path / "clean.txt", "--licence", "own")
    assert done.exit_code == 0, done.output
    assert done.stderr.index("false alarms on clean sentences") < done.stderr.index("F1 CENSURE")
    assert "false alarms on clean texts" in done.stderr
    card = json.loads((tmp_path / "made/kodolly.json").read_text(encoding="utf-8"))
    assert (card["licence"], card["sentences"]) == ("own", 21 * 4 + 2)
    assert [source["rows"] for source in card["data"]] == [84, 2]
    again = run(data, tmp_path / "made")
    assert "exists" in str(again.exception)


def test_zips_directories_and_several_classes_of_a_sentence_are_read(tmp_path: Path) -> None:
    one = write_dialogues(tmp_path / "one.json", dialogues(2))
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(one, "TL_텍스트윤리/talksets-1.json")
        archive.writestr("readme.txt", "no data")
    one.unlink()
    both = {"text": "둘 다", "types": ["ABUSE", "HATE"], "intensity": "HIGH"}
    unsaid = {"origin_text": "세기 없음", "types": ["CRIME"]}
    write_dialogues(tmp_path / "two.json", [{"id": "d0", "sentences": [both, unsaid]}])
    read = read_dialogues([tmp_path])
    assert len(read) == 2 * 4 + 2
    assert len({s.dialogue for s in read}) == 3  # an id is that of one file
    assert (set(read[-2].classes), read[-2].intensity) == ({"ABUSE", "HATE"}, 2.6)
    assert (read[-1].text, read[-1].intensity) == ("세기 없음", 3.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON"),
        ('{"a": 1}', "no list of dialogues"),
        ('[{"id": 1}]', "dialogue 1 has no sentences"),
        ('[{"id": 1, "sentences": [{"text": "a"}]}]', "sentence 1 has no text or no types"),
        ('[{"id": 1, "sentences": [{"text": "a", "types": ["RUDE"]}]}]', "unknown type 'RUDE'"),
        (
            '[{"id": 1, "sentences": [{"text": "a", "types": ["HATE"], "intensity": "x"}]}]',
            "the intensity 'x'",
        ),
        ("[]", "no labelled sentences"),
    ],
)
def test_data_in_another_shape_is_refused_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "data.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_dialogues([tmp_path / "data.json"])


def test_too_few_dialogues_and_one_sided_data_are_refused(tmp_path: Path) -> None:
    few = run(write_dialogues(tmp_path / "few.json", dialogues(5)), tmp_path / "made")
    assert "5 dialogues are too few" in str(few.exception)
    for dialogue in (bad := dialogues()):
        dialogue["sentences"] = dialogue["sentences"][:2]
    one_sided = run(write_dialogues(tmp_path / "bad.json", bad), tmp_path / "made")
    assert "both clean and unethical" in str(one_sided.exception)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ["RUDE"]}, "for other classes: RUDE"),
        ({"features": 99}, "by other rules"),
        ({"kind": "chat"}, "is not the card of a moderation model"),
        ({"thresholds": {}}, "no thresholds for CENSURE"),
    ],
)
def test_a_model_for_other_classes_or_rules_is_refused(
    model_dir: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    card = json.loads((model_dir / "kodolly.json").read_text(encoding="utf-8")) | change
    (tmp_path / "kodolly.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(UserError, match=said):
        load_model(tmp_path)
    (tmp_path / "kodolly.json").write_bytes((model_dir / "kodolly.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((model_dir / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read"):
        load_model(tmp_path)


def test_names_links_and_numbers_leave_no_mark_of_a_class() -> None:
    def columns(text: str) -> set[int]:
        return set(runs_of([text]).column.tolist())

    assert columns("#@인간및인간집단.인물.유명인# 좋다") == columns("#@기관.언론# 좋다")
    assert columns("2023년") == columns("1999년")
    assert columns("ㅋㅋㅋㅋㅋ") == columns("ㅋㅋ")
    assert columns("꺼\u200b져") == columns("꺼져")
    assert columns("ＡＢＣ") == columns("abc")
    assert not columns("\x00\x01") - columns(" ")


def test_sentences_of_a_batch_do_not_reach_into_each_other() -> None:
    texts = ["하나", "", "둘 셋", "넷!"]
    together = runs_of(texts)
    for number, text in enumerate(texts):
        alone = runs_of([text]).column.tolist()
        assert together.column[together.sentence == number].tolist() == alone


def test_the_regression_separates_what_can_be_separated() -> None:
    texts = ["사과가 빨갛다", "사과를 먹는다", "배가 노랗다", "배를 깎는다"] * 5
    labels = np.array([1.0, 1.0, 0.0, 0.0] * 5)
    rows = rows_of(texts)
    weights, bias = fit(rows, labels, 30.0)
    assert ((rows.times(weights) + bias > 0) == (labels > 0)).all()


def test_thresholds_keep_clean_sentences_out_even_where_that_costs_finds() -> None:
    clean = [Sentence(f"c{i}", "", frozenset(), 0.0) for i in range(100)]
    bad = [Sentence(f"b{i}", "", frozenset({"ABUSE"}), 3.0) for i in range(10)]
    scores = np.zeros((110, len(CLASSES)))
    column = CLASSES.index("ABUSE")
    scores[:100, column] = np.linspace(0, 0.6, 100)
    scores[100:, column] = np.linspace(0.5, 0.9, 10)
    limits = thresholds([*clean, *bad], scores)
    assert limits["ABUSE"]["low"] > 0.6
    assert limits["CRIME"]["low"] > 1  # no sentence of it in the data: never


def test_a_dialogue_falls_to_the_same_part_whatever_else_there_is() -> None:
    assert {part_of(f"d{i}") for i in range(50)} == {0, 1, 2, 3, 4}
    assert part_of("d1") == part_of("d1")


def test_each_class_falls_to_a_category_of_openai() -> None:
    for name in CLASSES:
        scores = openai_scores([0.9 if one == name else 0.0 for one in CLASSES])
        assert scores.keys() == set(OPENAI_CATEGORIES)
        assert sorted(scores.values())[-2:] == [0.0, 0.9]


@given(st.text(alphabet="가나 .!?\n\"'a", max_size=1000))
def test_sentences_together_are_the_text_however_it_is_cut(text: str) -> None:
    done, rest = cut_sentences(text)
    assert "".join([*done, rest]) == text
    assert all(len(one) <= LONGEST for one in [*done, rest])
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_a_sentence_ends_where_a_blank_follows_its_mark() -> None:
    assert split_sentences('3.5배입니다. "네!" 하고 갔다… 끝') == [
        "3.5배입니다.",
        '"네!"',
        "하고 갔다…",
        "끝",
    ]
    assert cut_sentences("하나. 둘.") == (["하나."], " 둘.")


def test_the_set_written_for_this_project_has_every_class_and_more_clean_sentences() -> None:
    sentences = read_dialogues([DEMO / "ethics.json"])
    assert len(sentences) >= 500
    counts = {name: sum(name in s.classes for s in sentences) for name in CLASSES}
    assert min(counts.values()) >= 25, counts
    assert sum(not s.classes for s in sentences) > len(sentences) / 2
    assert all(1 <= s.intensity <= 3 for s in sentences if s.classes)
    assert len({s.text for s in sentences}) == len(sentences)
