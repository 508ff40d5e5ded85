"""Cleaning rows: what they are rejected for, and what no rule may reject."""

from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.data.clean.findings import findings
from finetune.data.clean.mending import mend_row
from finetune.data.clean.rules import rules
from finetune.rows.fast_row import JsonRow, JsonTurn
from finetune.rows.reasons import REJECTED
from tests.support.clean_rows import ANSWER, BROKEN, QUESTION, cleaned, row


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
        ("identity", "안녕하세요, ChatGPT입니다. 도와드릴까요?"),
        ("identity", "AI 언어 모델인 저는 맛을 느낄 수 없습니다."),
        ("identity", "인공지능 챗봇인 저는 밥을 먹지 않습니다."),
        ("identity", "저는 사람이 아니라 인공지능입니다."),
        ("refusal", "해당 요청을 처리할 수 없습니다. 그림이 없습니다."),
        ("refusal", "죄송하지만 그 춤을 보여 드릴 수 없습니다."),
        ("refusal", "죄송하지만, 저는 예약을 조회할 권한이 없습니다."),
        ("refusal", "사진을 볼 수 없어서 무엇인지 알 수 없습니다."),
        ("refusal", "입력이 필요합니다."),
        ("refusal", "입력이 없음"),
        ("refusal", "추가 정보를 제공해 주세요."),
        ("leaked_prompt", "입력: 없음\n\n출력: 상추와 시금치"),
        ("leaked_prompt", "샘플 응답: 상추와 시금치가 좋습니다."),
        ("leaked_prompt", '두 번째 응답내용\n"상추와 시금치가 좋습니다."'),
        ("foreign_words", "상추는 нет 물을 좋아합니다. 자주 주세요."),
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


GOOD += [
    row("자기소개를 해 주세요.", "저는 회사에서 언어 모델을 시험하는 일을 합니다. 올해로 다섯 해째입니다."),
    row("오늘 일기를 써 주세요.", "나는 ChatGPT로 발표 자료를 만들다가 잠이 들었다. 내일 마저 해야겠다."),
    row("너는 누구니?", "저는 인공지능 비서 돌리입니다. 무엇이든 물어보세요."),
    row("계약서는 누가 고칠 수 있나요?", "계약서는 직원이 수정할 수 없습니다. 둘이 함께 고쳐야 합니다."),
    row("환불이 안 된다는 답장을 고객에게 써 주세요.", "죄송하지만 개봉한 상품은 환불해 드릴 수 없습니다."),
    row("부등식의 해를 구하세요.", "p<i 이고 b>a 이면 해가 없습니다."),
    row("자료형을 설명해 주세요.", "Map<p> 는 p 를 담는 자료형입니다."),
    row("백억을 숫자로 쓰세요.", "백억은 10000000000입니다."),
    row("왜", "무엇이 궁금하신가요?"),
    row("'EE'를 모스 부호로 쓰세요.", ". -"),
    row("문장 성분을 나누세요.", "주어: 동생은, 부사어: 오늘 학교에서, 목적어: 책을"),
    row("여행 책 세 권을 추천하세요.", "The Art of Travel, In a Sunburned Country, A Walk in the Woods"),
    row("사자성어 하나를 쓰세요.", "有備無患 居安思危 溫故知新 塞翁之馬 刻舟求劍 守株待兔"),
    row("'UN'을 풀어 쓰세요.", '"United Nations Educational Organization"'),
    row("함수의 입력과 출력의 예를 보여 주세요.", "입력1: 3\n출력1: 9\n입력2: 4\n출력2: 16"),
    row("형용사를 다섯 개 쓰세요.", "싱싱한, 부드러운, 밝은, 화려한, 깊은, 시원한, 다양한"),
    row("휴가 때 할 일을 쓰세요.", "국내 여행, 식사를 집에서 해결하기, 아이들과 함께 눈싸움하기"),
    row("특징을 나열하세요.", "특징은 다음과 같습니다.\n1. 클래식\n2. 현대적인\n3. 전통적인\n4. 근대적인"),
    row("누가 이겼나요?", "美 대통령과 前총리가 만난 자리에서 합의가 이루어졌습니다."),
]


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good["instruction"][:12])
def test_a_good_row_passes_as_it_is(good: dict[str, Any]) -> None:
    kept = JsonRow(good["instruction"], good["response"], "open_qa")
    assert mend_row(kept).names == set()
    assert list(findings(kept)) == []


def test_what_is_allowed_stays_and_is_counted(tmp_path: Path) -> None:
    report, kept, _ = cleaned(tmp_path, BROKEN["refusal"], BROKEN["html"], allow=["refusal"])
    assert len(kept) == 1
    assert report.allowed == {"refusal": 1}
    assert report.rejected == {"html": 1}
    with pytest.raises(UserError, match="Did you mean refusal"):
        rules(allow=["refusals"])
    with pytest.raises(UserError, match="no reason that can be allowed"):
        rules(allow=["not_json"])


@pytest.mark.parametrize(
    "answer",
    [
        "상추는 서늘한 날씨를 좋아하기 때문에 봄에 심으면 잘 자라고 여름에는 더위로 인해 잎의",
        "상추는 서늘한 날씨를 좋아하며, 물이 잘 빠지는 흙에서 잘 자라고",
        "상추는 서늘한 날씨를 좋아합니다. 여름에는 특히",
        "상추는 서늘한 날씨에서 잘 자랍니다. 더위를 막으려면 그늘을 만들어 줄 수",
        "1. 상추는 봄에 심습니다.\n2. 물은 아침에 한 번, 저녁에 한 번 주고 흙이 마르지 않도록",
    ],
)
def test_an_answer_that_ends_before_its_verb_is_cut_off(answer: str) -> None:
    assert [name for name, _ in findings(JsonRow(QUESTION, answer, "open_qa"))] == ["truncated"]
