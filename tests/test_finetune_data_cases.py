"""Data as teams bring it, case by case: what each kind becomes, or in which words it is refused.

Each case stands for a kind of fault that was once found in use; the texts are written for the project.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from finetune.data.convert.run import ConvertRequest, convert
from tests.support.clean_rows import cleaned, row
from tests.support.convert_samples import converted, write_lines

ASK, TELL = "3번 창구는 언제 여나요?", "3번 창구는 아침 아홉 시에 엽니다."
USER, BOT = {"role": "user", "content": ASK}, {"role": "assistant", "content": TELL}
WORSE = BOT | {"content": "글쎄요."}
HUMAN, GPT = {"from": "human", "value": ASK}, {"from": "gpt", "value": TELL}
RULE, HELLO, WELCOME = "높임말을 쓴다.", "안녕하십니까?", "어서 오십시오."
MARKED = f"\n\nHuman: {HELLO}\n\nAssistant: {WELCOME}\n\nHuman: {ASK}\n\nAssistant:"
SYSTEM = [{"role": "system", "content": RULE}]
EARLIER = [{"role": "user", "content": HELLO}, {"role": "assistant", "content": WELCOME}]


def alpaca(**more: Any) -> dict[str, Any]:
    return {"instruction": ASK, "input": "창구 안내문이다.", "output": TELL} | more


CONVERTED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "an answer that is a number": ([alpaca(), alpaca(output=12), alpaca()], {"response": "12", "at": 1}),
    "Alpaca with system and history": (
        [alpaca(system=RULE, history=[[HELLO, WELCOME]])],
        {"history": [*SYSTEM, *EARLIER]},
    ),
    "a history of roles": ([alpaca(history=EARLIER)], {"history": EARLIER}),
    "ShareGPT with a system field": (
        [{"system": RULE, "conversations": [HUMAN, GPT]}],
        {"history": SYSTEM, "response": TELL},
    ),
    "OpenOrca's system_prompt": (
        [{"system_prompt": RULE, "question": ASK, "response": TELL}],
        {"history": SYSTEM},
    ),
    "contexts": (
        [{"question": ASK, "contexts": ["하나.", "둘."], "answer": TELL}],
        {"context": "하나.\n\n둘."},
    ),
    "an answer of weight 0": (
        [{"messages": [EARLIER[0], EARLIER[1] | {"weight": 0}, USER, BOT]}],
        {"history": [EARLIER[0], EARLIER[1] | {"weight": 0}], "response": TELL},
    ),
    "role and content as conversations": ([{"conversations": [USER, BOT]}], {"response": TELL}),
    "role and content as conversation": ([{"conversation": [USER, BOT]}], {"response": TELL}),
    "a conversation by a name of its own": ([{"상담": [USER, BOT], "번호": 7}], {"response": TELL}),
    "prompt and completion as messages": (
        [{"prompt": [*SYSTEM, USER], "completion": [BOT]}],
        {"history": SYSTEM},
    ),
    "texts by turns": ([{"conversations": [HELLO, WELCOME, ASK, TELL], "source": "x"}], {"history": EARLIER}),
    "an OpenAI preference": (
        [{"input": {"messages": [USER]}, "preferred_output": [BOT], "non_preferred_output": [WORSE]}],
        {"response": TELL},
    ),
    "messages as JSON text": (
        [{"messages": json.dumps([USER, BOT], ensure_ascii=False)}],
        {"response": TELL},
    ),
    "messages as Python prints them": ([{"messages": str([USER, BOT])}], {"response": TELL}),
    "arrays of messages": ([[USER, BOT], [USER, BOT]], {"response": TELL}),
    "a developer's message": (
        [{"messages": [{"role": "developer", "content": RULE}, USER, BOT]}],
        {"history": SYSTEM},
    ),
    "a greeting first": (
        [{"conversations": [{"from": "gpt", "value": WELCOME}, HUMAN, GPT]}],
        {"response": TELL},
    ),
    "greetings after a system message": (
        [{"messages": [*SYSTEM, EARLIER[1], EARLIER[1], USER, BOT]}],
        {"history": SYSTEM},
    ),
    "HH-RLHF's marks in a prompt": (
        [{"prompt": MARKED, "chosen": TELL, "rejected": "글쎄요."}],
        {"history": EARLIER, "instruction": ASK},
    ),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_every_record_becomes_its_row(name: str, tmp_path: Path) -> None:
    records, wanted = CONVERTED[name]
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", *records))
    assert refusals == []
    assert len(rows) == len(records)
    made = rows[wanted.pop("at", 0)]
    assert {field: made.get(field, []) for field in wanted} == wanted


REFUSED: dict[str, tuple[Any, str]] = {
    "an input that is a list": (alpaca(input=["하나", "둘"]), "'input' is not text but an array"),
    "an answer that is an object": (alpaca(output={"글": TELL}), "'output' is not text but an object"),
    "TRL's bad answer": ({"prompt": ASK, "completion": "글쎄요.", "label": False}, "bad one"),
    "TRL's bad answer as messages": (
        {"prompt": [USER], "completion": [BOT | {"content": "글쎄요."}], "label": 0},
        "bad one",
    ),
    "LLaMA-Factory's bad answer": ({"messages": [USER, BOT], "kto_tag": False}, "bad one"),
    "an undesirable answer": ({"question": ASK, "answer": "글쎄요.", "desirable": False}, "bad one"),
    "weight 0 alone": ({"messages": [USER, BOT | {"weight": 0}]}, "all have weight 0"),
    "a picture": (
        {"image": "1.png", "conversations": [{"from": "human", "value": f"<image>\n{ASK}"}, GPT]},
        "image",
    ),
    "a tool call": (
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, BOT]},
        "tool call",
    ),
    "a tool's answer": ({"conversations": [HUMAN, {"from": "observation", "value": "1"}, GPT]}, "by tool"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_record_is_refused_by_its_line_and_changes_no_other(name: str, tmp_path: Path) -> None:
    record, words = REFUSED[name]
    others = {"kto_tag", "label", "image", "desirable"}
    good = {key: value for key, value in record.items() if key not in others}
    good |= {key: value for key, value in alpaca().items() if key in good}
    good |= {"completion": TELL} if isinstance(good.get("completion"), str) else {}
    good |= {"messages": [USER, BOT]} if "messages" in good else {}
    good |= {"conversations": [HUMAN, GPT]} if "conversations" in good else {}
    rows, refusals, _ = converted(write_lines(tmp_path / "in.jsonl", *[good] * 5, record, *[good] * 5))
    assert [(one["line"], words in one["reason"]) for one in refusals] == [(6, True)]
    assert len(rows) == 10
    assert all(bool(made["context"]) is ("input" in record) for made in rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{'instruction': '가?', 'output': None}", "line 1: not JSON (single quotes: a Python dict)"),
        (
            '{"instruction": "가?", "output": "\\ud83d"}',
            "line 1: not valid JSON (it holds half of a surrogate",
        ),
    ],
)
def test_lines_that_are_no_json_are_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{text}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        convert(ConvertRequest((path,), tmp_path / "rows.jsonl"))
    assert words in str(caught.value)


def test_fields_without_a_place_are_named_and_counted(tmp_path: Path) -> None:
    records = [{"question": ASK, "answer": TELL, "난이도": 3, "출처": "안내서"}] * 2
    counts = converted(write_lines(tmp_path / "in.jsonl", *records))[2].files[0].counts
    assert counts.unused == {"난이도": 2, "출처": 2}


def test_answers_that_ask_back_are_kept(tmp_path: Path) -> None:
    records = [
        {"instruction": f"{n}주째 어깨가 아프다", "output": f"{n}주나요. 어떤 일을 하실 때 아프신가요?"}
        for n in range(30)
    ]
    rows, _, done = converted(write_lines(tmp_path / "in.jsonl", *records))
    assert len(rows) == 30
    assert done.files[0].warning


KEPT = {
    "a researcher": "저는 자연어 처리와 언어 모델을 공부하는 연구원입니다. 논문을 두 편 썼습니다.",
    "a diary": "오늘은 챗GPT에게 저녁 메뉴를 물어보았다. 된장찌개를 끓이라고 해서 그대로 했다.",
    "a law": "미성년자는 혼자 계약을 체결할 수 없습니다. 부모의 동의가 필요합니다.",
    "an inequality": "a<b이고 b<c이면 a<c입니다.",
    "a generic type": "Map<String, Integer>는 문자열에서 정수로 가는 표입니다.",
    "a large number": "천억은 숫자로 100000000000입니다.",
    "a word of grammar": "주어: 철수가, 목적어: 밥을",
    "titles": "The Matrix, Inception, Interstellar",
    "classical Chinese": "天時不如地利 地利不如人和",
}
QUESTIONS = {
    "a word of grammar": "문장의 주어와 목적어를 찾아 주세요. '철수가 밥을 먹는다.'",
    "titles": "좋아하는 영화 세 편의 제목을 알려 주세요.",
    "classical Chinese": "맹자의 한 구절을 써 주세요.",
}


def test_good_rows_are_kept(tmp_path: Path) -> None:
    rows = [row(QUESTIONS.get(name, f"{name}: 알려 주세요."), text) for name, text in KEPT.items()]
    rows.append(row("왜", "궁금한 것이 있으신가요?"))
    assert [(bad["reason"], bad["detail"]) for bad in cleaned(tmp_path, *rows)[2]] == []


REJECTED = {
    "안녕하세요! 저는 GPT-4입니다. 무엇을 도와드릴까요?": "identity",
    "인공지능 언어 모델로서 저는 기분을 느끼지 않습니다.": "identity",
    "죄송합니다. 이미지가 제공되지 않아 설명할 수 없습니다.": "refusal",
    "실시간 날씨 정보에 접근할 수 없습니다.": "refusal",
    "입력 문장이 제공되지 않았습니다.": "refusal",
    "크다의 반대말은 작다입니다.\n\n입력2: 높다\n출력2: 낮다": "leaked_prompt",
    "크다의 반대말은 작다입니다.\n\nInput 2: 높다\nOutput 2: 낮다": "leaked_prompt",
    "작다입니다.\n\n예시 입력: 높다\n예시 출력: 낮다": "leaked_prompt",
    "여름에는 물을 자주 마시고 그늘에서 쉬어야 하는데 그 까닭은 더위 때문에 몸의": "truncated",
    "독서는 知識을 늘리고 집중력을 提高합니다. 마음도 편해집니다.": "foreign_words",
}


def test_bad_rows_are_rejected_by_their_reason(tmp_path: Path) -> None:
    rows = [row(f"{n}번 물음에 답해 주세요.", text) for n, text in enumerate(REJECTED)]
    _, kept, bad = cleaned(tmp_path, *rows)
    assert [made.response for made in kept] == []
    assert [one["reason"] for one in bad] == list(REJECTED.values())


MENDED = {
    "산은<br/>푸르고<br />물은 맑다.": "산은\n푸르고\n물은 맑다.",
    "R&amp;D 부서는 새 제품을 만듭니다.": "R&D 부서는 새 제품을 만듭니다.",
    "코드입니다.\n```js\nconsole.log(1)```\n끝입니다.": "코드입니다.\n```js\nconsole.log(1)\n```\n끝입니다.",
    "국민은행은 2023.10.15에 금리를 올렸습니다.": None,
    "기업은행 매출은 1250000000원입니다.": None,
    "우체국 등기번호는 1234567890123처럼 숫자입니다.": None,
    "`git clone git@gitlab.com:a/b.git`을 실행합니다.": None,
    "터미널에서 ssh ec2-user@10.0.0.5 를 실행하세요.": None,
    "이메일은 user@example.com 처럼 씁니다.": None,
    "전화는 (031) 234-5678 입니다.": "전화는 [전화번호] 입니다.",
    "전화는 010)1234-5678 입니다.": "전화는 [전화번호] 입니다.",
    "전화는 ０１０-１２３４-５６７８ 입니다.": "전화는 [전화번호] 입니다.",
    "계좌는 국민 123-45-678901 입니다.": "계좌는 국민 [계좌번호] 입니다.",
}


def test_texts_are_mended_or_left_as_they_are(tmp_path: Path) -> None:
    rows = [row(f"{n}번 물음에 답해 주세요.", text) for n, text in enumerate(MENDED)]
    _, kept, bad = cleaned(tmp_path, *rows)
    assert bad == []
    assert [made.response for made in kept] == [after or before for before, after in MENDED.items()]


def test_masks_can_be_switched_off(tmp_path: Path) -> None:
    text = "전화는 010-1234-5678 입니다."
    assert cleaned(tmp_path, row(response=text), mask="off")[1][0].response == text


def test_short_items_of_evaluation_sets_are_found(tmp_path: Path) -> None:
    items = ["직원이 친절해요", "또 가고 싶어요", "별로였어요"]
    table = tmp_path / "dev.tsv"
    table.write_text(
        "ID\tLabel\tText\n" + "".join(f"{n}\t1\t{item}\n" for n, item in enumerate(items)), encoding="utf-8"
    )
    rows = [row(f"다음 평가가 좋은지 나쁜지 말해 주세요.\n{item}", "좋은 평가입니다.") for item in items]
    report, _, bad = cleaned(tmp_path, *rows, row(), against=[table], allow=["near_duplicate"])
    assert [one["reason"] for one in bad] == ["evaluation_overlap"] * 3
    assert report.kept == 1
