"""Cleaning rows: what is mended, what is rejected and why, and that no row goes missing."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import UserError
from finetune.data.clean import CleanReport, clean, rejects_path
from finetune.data.clean_chunk import mend_row
from finetune.data.clean_rules import rules
from finetune.data.judging import findings
from finetune.data.mending import mend_text
from finetune.data.near_duplicates import similar_pairs
from finetune.data.reasons import MENDED, REJECTED
from finetune.data.row_json import JsonRow, JsonTurn, UnusableLine, parse_row, write_row
from finetune.rows import Pair, Row, load_rows
from kodolly.cli import root

SHARED = Path(__file__).parents[2] / "shared" / "data"
QUESTION = "봄에 심기 좋은 채소를 알려 주세요."
ANSWER = "상추와 시금치가 좋습니다. 둘 다 서늘한 날씨를 좋아해서 삼월부터 심을 수 있습니다."


def row(instruction: str = QUESTION, response: str = ANSWER, **more: Any) -> dict[str, Any]:
    return {
        "instruction": instruction,
        "context": "",
        "response": response,
        "category": "open_qa",
        **more,
    }


def write(path: Path, *lines: Any) -> Path:
    """Rows as JSON, texts as they are, bytes as they are."""
    data = b""
    for line in lines:
        if isinstance(line, dict):
            line = json.dumps(line, ensure_ascii=False)
        data += (line if isinstance(line, bytes) else line.encode()) + b"\n"
    path.write_bytes(data)
    return path


def rejects(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rejects_path(output).read_bytes().splitlines()]


def cleaned(tmp_path: Path, *lines: Any, **asked: Any) -> tuple[CleanReport, list[Row], list[dict[str, Any]]]:
    """(report, rows kept, rejected lines) of cleaning one file."""
    output = tmp_path / "clean.jsonl"
    report = clean([write(tmp_path / "rows.jsonl", *lines)], output, rules(**asked), processes=1)
    kept = load_rows(output) if report.kept else []
    assert report.kept == len(kept)
    assert report.read == report.kept + sum(report.rejected.values())
    return report, kept, rejects(output)


BROKEN: dict[str, Any] = {
    "not_utf8": json.dumps(row(), ensure_ascii=False).encode("euc-kr"),
    "not_json": '{"instruction": "하나',
    "schema": {"instruction": "하나", "output": "둘"},
    "category": row(category="잡담"),
    "empty": row(response="  \u200b "),
    "broken_encoding": row(response="답은 占쏙옙占쏙옙입니다. 다시 한번 확인해 보시기 바랍니다."),
    "too_short": row(response="..."),
    "broken_fence": row(response="다음과 같이 씁니다.\n```python\nprint(1)"),
    "truncated": row(response="먼저 흙을 고르고 물을 충분히 준 다음에 씨앗을 뿌리며 그리고 햇빛을"),
    "repeats": row(response="물을 자주 주세요 그리고 " * 20 + "끝입니다."),
    "digit_run": row(response="전화는 99999999999번으로 하시면 됩니다. 고맙습니다."),
    "prompt_marker": row(response="상추입니다.\n\n### Instruction:\n다음 질문에 답하세요."),
    "html": row(response="<div class='a'>상추</div>와 시금치가 좋습니다."),
    "identity": row(response="저는 OpenAI에서 만든 언어 모델이라 채소를 심어 본 적이 없습니다."),
    "refusal": row(response="죄송하지만 그 질문에는 답변을 드릴 수 없습니다."),
    "hangul_ratio": row(response="Lettuce and spinach are good because both like cool weather in spring."),
    "answer_not_in_context": row(context="가을에는 무를 심는다.", response="배추", meta={"answer_start": 3}),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_row_is_rejected_with_its_line_and_reason(tmp_path: Path, reason: str) -> None:
    report, kept, rejected = cleaned(tmp_path, row(), "", BROKEN[reason])
    assert len(kept) == 1
    (entry,) = rejected
    assert (entry["reason"], entry["line"], entry["file"]) == (reason, 3, str(tmp_path / "rows.jsonl"))
    assert entry["detail"]
    assert ("row" in entry) != ("text" in entry)
    assert report.samples[reason][0].line == 3


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("identity", "언어 모델로서 저는 감정을 느끼지 않습니다."),
        ("identity", "저는 인공지능이라 직접 가 본 적은 없습니다."),
        ("identity", "As an AI language model, I have no opinion on that."),
        ("refusal", "죄송하지만, 말씀하신 내용만으로는 정확히 알 수 없습니다."),
        ("refusal", "입력된 문장이 없어 요약을 할 수 없습니다."),
        ("refusal", "I'm sorry, but I can't help with that."),
    ],
)
def test_machine_talk_is_found(reason: str, answer: str) -> None:
    assert next(findings(JsonRow(QUESTION, answer, "open_qa")))[0] == reason
    turns = [JsonTurn("user", QUESTION), JsonTurn("assistant", answer)]
    assert next(findings(JsonRow("그렇군요.", ANSWER, "open_qa", history=turns)))[0] == reason


def test_every_reason_is_tested_and_explained() -> None:
    elsewhere = {"licence", "evaluation_overlap", "duplicate", "near_duplicate"}
    assert BROKEN.keys() | elsewhere == REJECTED.keys()


GOOD = [
    row("ChatGPT가 무엇인가요?", "ChatGPT는 OpenAI가 개발한 대화형 인공지능 서비스입니다."),
    row("AI 분야에서 어떤 일을 하시나요?", "저는 AI 분야에서 데이터를 정리하는 일을 합니다."),
    row(
        "사과하는 편지를 써 주세요.",
        "지난 약속을 지키지 못해 미안한 마음을 전합니다. 다음에는 꼭 지키겠습니다.",
    ),
    row("HTML에서 줄을 바꾸는 태그는?", "<br> 태그를 쓰면 줄이 바뀝니다."),
    row(
        "부등호를 설명해 주세요.",
        "a < b 이고 b > c 이면 a와 c는 비교할 수 없습니다. R&D와는 관계가 없습니다.",
    ),
    row("파이썬으로 1을 출력해 주세요.", "```python\nprint(1)\n```"),
    row(
        "다음 문장을 영어로 번역하세요. 봄이 왔습니다.", "Spring has come to our town, and the flowers bloom."
    ),
    row("수도의 이름은?", "서울"),
    row("캐나다의 도시 다섯 곳", "1. 토론토\n2. 밴쿠버\n3. 몬트리올\n4. 캘거리\n5. 오타와"),
    row("이 기분에 어울리는 그림 문자를 고르세요.", "😆"),
    row("이 수를 이진수로 적어 주세요.", "1" + "0" * 8 + "1" * 8 + "01" * 20),
    row("웃음소리를 적어 주세요.", "ㅋㅋㅋㅋㅋㅋ 하하하하"),
    row(
        "가장 좋아하는 계절은 언제이고 그 까닭은 무엇인지 적어 주세요.",
        "단풍이 곱고 하늘이 높아서 나들이하기 좋은 가을",
    ),
    row("답은 무엇인가요?", "질문: 무엇인가요?\n답변: 이것입니다."),
    row(
        "구구단 구단을 적어 주세요.", "9x1=9, 9x2=18, 9x3=27, 9x4=36, 9x5=45, 9x6=54, 9x7=63, 9x8=72, 9x9=81"
    ),
]


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good["instruction"][:12])
def test_a_good_row_passes_as_it_is(good: dict[str, Any]) -> None:
    kept = JsonRow(good["instruction"], good["response"], "open_qa")
    assert mend_row(kept) == set()
    assert list(findings(kept)) == []


MENDS = [
    ("한글", unicodedata.normalize("NFD", "한글"), "nfc"),
    ("가\n나\n다", "가\r\n나\r다", "line_ends"),
    ("가\n나", "가\u2028나", "line_ends"),
    ("가나", "가\u200b나\ufeff", "zero_width"),
    ("가 나", "가\u00a0나", "odd_spaces"),
    ("가나", "가\x07나", "control_characters"),
    ("👨\u200d👩\u200d👧 가족", "👨\u200d👩\u200d👧 가\u200d족", "zero_width"),
    ("제 번호는 [전화번호]입니다.", "제 번호는 010-1234-5678입니다.", "personal_phone"),
    ("서울은 [전화번호]번", "서울은 02-123-4567번", "personal_phone"),
    ("[주민등록번호] 입니다", "900101-1234568 입니다", "personal_rrn"),
    ("메일은 [이메일]로", "메일은 gildong.hong@naver.com로", "personal_email"),
    ("국민은행 [계좌번호]로", "국민은행 123456-04-123456로", "personal_account"),
    ("카드 [카드번호]", "카드 4111-1111-1111-1111", "personal_card"),
]


@pytest.mark.parametrize(("mended", "text", "name"), MENDS, ids=lambda value: None)
def test_what_can_be_mended_is_mended_and_named(mended: str, text: str, name: str) -> None:
    assert mend_text(text) == (mended, {name})
    assert name in MENDED


@pytest.mark.parametrize(
    "text",
    [
        "1990년 1월 1일부터 2024-12-31까지",
        "원주율은 3.14159265358979입니다.",
        "900101-1234567은 맞지 않는 번호입니다.",
        "4111-1111-1111-1112",
        "문의는 help@example.com으로",
        "IP 주소 192.168.100.200",
        "2,350,000,000원",
        "ISBN 978-89-364-3412-0",
    ],
)
def test_numbers_that_are_nobodys_stay(text: str) -> None:
    assert mend_text(text) == (text, set())


def test_mended_rows_stay_and_keep_their_other_fields(tmp_path: Path) -> None:
    history = [{"role": "user", "content": "안녕\u200b?"}, {"role": "assistant", "content": "네."}]
    given_row = row(
        " 질문\r\n입니다 ", context="<입력 없음>", history=history, meta={"id": 7, "licence": "MIT"}
    )
    report, kept, _ = cleaned(tmp_path, given_row)
    assert (
        kept[0].model_dump()
        == Row.model_validate(
            row(
                "질문\n입니다",
                history=[{"role": "user", "content": "안녕?"}, history[1]],
                meta=given_row["meta"],
            )
        ).model_dump()
    )
    names = ("line_ends", "outer_blanks", "placeholder_context", "zero_width")
    assert report.mended == dict.fromkeys(names, 1)
    assert report.licences == {"MIT": 1}


def test_the_place_of_an_answer_follows_what_mending_took_away(tmp_path: Path) -> None:
    context = "\u200b\u200b배추는 가을에, \r\n상추는 봄에 심는다. 상추는 잘 자란다."
    extractive = row(context=context, response="상추", meta={"answer_start": context.index("상추")})
    _, kept, _ = cleaned(tmp_path, extractive)
    start = kept[0].meta["answer_start"]
    assert kept[0].context[start:].startswith("상추는 봄에")


def test_what_is_allowed_stays_and_is_counted(tmp_path: Path) -> None:
    report, kept, _ = cleaned(tmp_path, BROKEN["refusal"], BROKEN["html"], allow=["refusal"])
    assert len(kept) == 1
    assert report.allowed == {"refusal": 1}
    assert report.rejected == {"html": 1}
    with pytest.raises(UserError, match="Did you mean refusal"):
        rules(allow=["refusals"])
    with pytest.raises(UserError, match="no reason that can be allowed"):
        rules(allow=["not_json"])


# Duplicates


LONG = (
    "상추는 서늘한 날씨를 좋아하므로 봄과 가을에 심습니다. "
    "씨앗을 얕게 묻고 흙이 마르지 않게 물을 자주 주면 한 달 뒤에 거둘 수 있습니다."
)


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


# Preference pairs


def pair(chosen: str = ANSWER, rejected: str = "모릅니다.", **more: Any) -> dict[str, Any]:
    return {"instruction": QUESTION, "context": "", "chosen": chosen, "rejected": rejected, **more}


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
    return zstandard.compress(data[:50]) + zstandard.compress(data[50:])


def marked(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, two_frames, marked])
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
        (zstandard.compress(b"{}\n" * 9999)[:-4], "the compressed file is broken"),
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
        with pytest.raises(UserError, match="being written by another run"):
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
        st.characters(exclude_categories=("Cs",)),
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
from finetune.data.clean import clean
from finetune.data.clean_rules import rules

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
    path = SHARED / "koalpaca_v1.0_8000.json"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    records = json.loads(path.read_text(encoding="utf-8"))
    lines = [row(r["instruction"], r["output"], context=r["input"]) for r in records if r["output"].strip()]
    report = clean([write(tmp_path / "rows.jsonl", *lines)], tmp_path / "clean.jsonl", rules())
    assert 0.98 < report.kept / report.read < 1
    assert report.mended["placeholder_context"] > 50
