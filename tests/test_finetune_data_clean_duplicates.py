"""Cleaning rows: duplicates, items of evaluation sets, licences."""

import json
import random
from itertools import combinations
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.data.clean.minhash import similar_pairs
from finetune.data.clean.report import summary
from finetune.data.clean.rules import rules
from finetune.data.clean.run import clean
from finetune.rows.fast_row import JsonRow
from tests.support.clean_rows import LONG, cleaned, rejects, row, write


def test_of_repeated_rows_the_first_stays(tmp_path: Path) -> None:
    near = LONG.replace("한 달", "두 달")
    first = write(tmp_path / "first.jsonl", row(response=LONG), row("다른 질문입니다.", LONG))
    second = write(tmp_path / "second.jsonl", row(response=LONG, category="general_qa"), row(response=near))
    output = tmp_path / "clean.jsonl"
    report = clean([first, second], output, rules(), processes=1)
    assert report.rejected == {"duplicate": 1, "near_duplicate": 1}
    exact, similar = rejects(output)
    assert exact["detail"] == f"of {first}, line 1"
    assert exact["file"] == str(second)
    assert similar["detail"].endswith(f" like {first}, line 1")
    assert 0.8 <= float(similar["detail"].split()[0]) < 1
    assert report.inputs == {str(first): 2, str(second): 2}


@pytest.mark.parametrize(("allow", "kept"), [([], 1), (["near_duplicate"], 2), (["duplicate"], 3)])
def test_repeated_rows_stay_where_they_are_allowed(tmp_path: Path, allow: list[str], kept: int) -> None:
    near = LONG.replace("한 달", "두 달")
    lines = [row(response=LONG), row(response=LONG), row(response=near)]
    assert cleaned(tmp_path, *lines, allow=allow)[0].kept == kept


def test_rows_that_share_much_text_and_ask_something_else_stay(tmp_path: Path) -> None:
    context = LONG * 4
    lines = [
        row("언제 심나요?", "봄과 가을", context=context),
        row("얼마나 지나면 거두나요?", "한 달 뒤", context=context),
        row("어떤 날씨를 좋아하나요?", "서늘한 날씨", context=context),
        row("감정을 고르세요.", "긍정", context="정말 좋은 물건을 샀어요. 다음에 또 사고 싶습니다."),
        row("감정을 고르세요.", "긍정", context="배송이 하루 만에 왔고 포장도 꼼꼼해서 마음에 듭니다."),
        row("몇 월인가요?", "3", context=context),
        row("몇 월인가요?", "4", context=context),
    ]
    assert cleaned(tmp_path, *lines)[0].kept == len(lines)


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        ("남자친구가 준 선물을 잃어버렸어", "여자친구가 준 선물을 잃어버렸어", 2),
        ("그는 내 선물을 좋아할까?", "그녀는 내 선물을 좋아할까?", 2),
        ("설날에 고백해도 될까요?", "추석에 고백해도 될까요?", 2),
        ("선물을 잃어버렸어", "나 선물을 잃어버렸어", 1),
        ("선물을 잃어 버렸어", "선물을 잃어버렸어!", 1),
    ],
)
def test_another_word_makes_another_question(tmp_path: Path, one: str, other: str, kept: int) -> None:
    answer = "솔직하게 말하면 이해해 줄 거예요. 다음에는 더 소중하게 간직해 보세요. 마음은 남아 있으니까요."
    assert cleaned(tmp_path, row(one, answer), row(other, answer))[0].kept == kept


@pytest.mark.slow
def test_near_duplicates_are_found_as_comparing_all_pairs_finds_them(tmp_path: Path) -> None:
    draw = random.Random(5)
    syllables = [chr(code) for code in range(0xAC00, 0xAC00 + 2000)]
    vocabulary = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(500)]
    rows = []
    for _ in range(40):
        words = draw.choices(vocabulary, k=60)
        for changed in (0, 1, 2, 4, 8):
            copy = list(words)
            for place in draw.sample(range(60), changed):
                copy[place] = draw.choice(vocabulary)
            rows.append(row(" ".join(copy[:10]), " ".join(copy[10:]) + "."))
    draw.shuffle(rows)
    _, _, rejected = cleaned(tmp_path, *rows)
    made = [JsonRow(r["instruction"], r["response"], "open_qa") for r in rows]
    alike: dict[int, list[int]] = {}
    for left, right, _ in similar_pairs(made, list(combinations(range(len(made)), 2)), 0.8):
        alike.setdefault(right, []).append(left)
    expected: dict[int, list[int]] = {}
    for place in range(len(made)):
        if partners := [other + 1 for other in alike.get(place, []) if other + 1 not in expected]:
            expected[place + 1] = partners
    found = {entry["line"]: int(entry["detail"].rsplit(" ", 1)[1]) for entry in rejected}
    assert found.keys() <= expected.keys()
    assert len(found) >= 0.97 * len(expected) > 40
    assert all(found[line] in expected[line] for line in found)


# Evaluation sets and licences


PASSAGE = (
    "솔개마을에는 해마다 가을이 되면 온 동네 사람들이 모여 커다란 솥에 국을 끓이고 밤새 노래를 부르는 잔치가"
)


def test_rows_with_evaluation_items_are_found(tmp_path: Path) -> None:
    boolq = write(
        tmp_path / "boolq.tsv",
        "ID\tText\tQuestion\tAnswer",
        f"1\t{PASSAGE} 있다.\t솔개마을의 잔치는 봄에 열리는가?\tFalse",
    )
    copa = write(
        tmp_path / "copa.tsv",
        "ID\tsentence\tquestion\t1\t2\tAnswer",
        "1\t나는 새 우산을 집에 두고 나왔다.\t결과\t옷이 흠뻑 젖었다.\t모자를 새로 샀다.\t1",
    )
    korquad = tmp_path / "korquad.json"
    paragraph = {
        "context": "달빛호수는 해발 육백 미터에 있으며, 둘레가 네 킬로미터에 이르고 겨울에도 얼지 않는다.",
        "qas": [{"id": "1", "question": "달빛호수는 해발 몇 미터에 있는가?", "answers": []}],
    }
    korquad.write_text(json.dumps({"data": [{"title": "호수", "paragraphs": [paragraph]}]}), encoding="utf-8")
    lines = [
        row("요약해 주세요.", "가을 잔치가 있다.", context=f"(글) {PASSAGE.replace('되면', '되면,')}"),
        row("나는 새 우산을 집에 두고 나왔다. 그래서?", "옷이 흠뻑 젖었다."),
        row("나는 새 우산을 집에 두고 나왔다. 그다음은?", "모자를 새로 샀다."),
        row("달빛호수는 해발 몇 미터에 있는가", "육백 미터"),
        row("솔개마을의 잔치는 언제 열리나요?", "가을에 열립니다."),
    ]
    report, kept, rejected = cleaned(tmp_path, *lines, against=[boolq, copa, korquad])
    assert {entry["line"] for entry in rejected} == {1, 2, 4}
    assert {entry["reason"] for entry in rejected} == {"evaluation_overlap"}
    assert [entry["detail"] for entry in rejected][1].endswith("copa.tsv, line 2")
    assert len(kept) == 2
    assert report.evaluation_items == 4


def test_short_items_are_found_where_they_stand_by_themselves(tmp_path: Path) -> None:
    reviews = write(
        tmp_path / "reviews.tsv",
        "ID\tLabel\tText",
        *(
            "1\t1\t포장이 참 꼼꼼해요",
            "2\t0\t영 별로네",
            "3\t1\t굿굿",
            "4\t1\t빛깔이 곱고 촘촘해서 마음에 듭니다",
        ),
    )
    lines = [
        row("다음 문장의 감정은?\n포장이 참 꼼꼼해요", "긍정"),
        row("'영 별로네'의 감정을 고르세요.", "부정"),
        row("빛깔이 곱고 촘촘해서 마음에 듭니다라는 말의 느낌은?", "좋다"),
        row("영 별로네", "다른 것을 찾아보세요."),
        row("오늘 본 영화는 영 별로네요 그렇죠?", "다음에는 더 좋은 것을 보세요."),
        row("굿굿", "고맙습니다."),
    ]
    report, _, rejected = cleaned(tmp_path, *lines, against=[reviews])
    assert {entry["line"] for entry in rejected} == {1, 2, 3}
    assert (report.evaluation_items, report.evaluation_items_too_short) == (4, 1)
    assert "1 of them are too short to be looked for" in summary(report)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("set.tsv", "a\tb\n1\t2\n", "those of no KoBEST table"),
        ("set.json", "[]", "not a KorQuAD file"),
        ("set.jsonl", "{}\n", "line 1"),
        ("set.txt", "\n", "holds no items"),
        ("set.pdf", "x", "of no known format"),
    ],
)
def test_an_evaluation_set_that_cannot_be_read_says_why(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        rules(against=[path])


def test_commercial_keeps_rows_whose_licence_allows_it(tmp_path: Path) -> None:
    licences = ["Apache-2.0", "CC BY-SA 3.0", "CC BY-ND 2.0 KR", "CC0-1.0", "mit"]
    refused = ["CC BY-NC 4.0", "cc-by-nc-sa-4.0", "OpenAI terms + CC BY 2.0 KR", "AI-Hub", "", None]
    lines = [
        row(f"{number}번 씨앗의 이름은 무엇인가요?", f"{number}번은 상추입니다.", meta={"licence": licence})
        for number, licence in enumerate([*licences, *refused])
    ]
    report, kept, rejected = cleaned(tmp_path, *lines, commercial=True)
    assert [kept_row.meta["licence"] for kept_row in kept] == licences
    assert report.rejected == {"licence": len(refused)}
    assert rejected[0]["detail"] == "CC BY-NC 4.0"
