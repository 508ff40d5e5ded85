"""Cleaning rows: what is put right in them, and personal data under masks."""

import json
import unicodedata
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.data.clean.personal_data import mask_personal_data
from finetune.data.clean.rules import rules
from finetune.files.outputs import masked_path
from finetune.rows.characters import mend_text
from finetune.rows.reasons import MENDED
from finetune.rows.row import Row
from tests.support.clean_rows import cleaned, row

MENDS = [
    ("한글", unicodedata.normalize("NFD", "한글"), "nfc"),
    ("가\n나\n다", "가\r\n나\r다", "line_ends"),
    ("가\n나", "가\u2028나", "line_ends"),
    ("가나", "가\u200b나\ufeff", "zero_width"),
    ("가 나", "가\u00a0나", "odd_spaces"),
    ("가나", "가\x07나", "control_characters"),
    ("👨\u200d👩\u200d👧 가족", "👨\u200d👩\u200d👧 가\u200d족", "zero_width"),
]


@pytest.mark.parametrize(("mended", "text", "name"), MENDS, ids=lambda value: None)
def test_what_can_be_mended_is_mended_and_named(mended: str, text: str, name: str) -> None:
    assert mend_text(text) == (mended, {name})
    assert name in MENDED


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
    start = int(str(kept[0].meta["answer_start"]))
    assert kept[0].context[start:].startswith("상추는 봄에")


def masked(text: str) -> tuple[str, set[str]]:
    """(the text with masks, kinds that were masked)."""
    made, found = mask_personal_data(text)
    return made, {mask.kind for mask in found}


@pytest.mark.parametrize(
    ("text", "made", "kind"),
    [
        ("제 번호는 010-1234-5678입니다.", "제 번호는 [전화번호]입니다.", "phone"),
        ("서울은 02-123-4567번", "서울은 [전화번호]번", "phone"),
        ("사무실은 (031) 345-6789 입니다.", "사무실은 [전화번호] 입니다.", "phone"),
        ("연락처 010)2345-6789", "연락처 [전화번호]", "phone"),
        ("연락처 ０１０－２３４５－６７８９", "연락처 [전화번호]", "phone"),
        ("해외에서는 +82-10-2345-6789", "해외에서는 [전화번호]", "phone"),
        ("900101-1234568 입니다", "[주민등록번호] 입니다", "rrn"),
        ("메일은 gildong.hong@naver.com로", "메일은 [이메일]로", "email"),
        ("국민은행 123456-04-123456로", "국민은행 [계좌번호]로", "account"),
        ("국민 123-45-678901", "국민 [계좌번호]", "account"),
        ("카드 4111-1111-1111-1111", "카드 [카드번호]", "card"),
        ("여권번호는 M12345678입니다.", "여권번호는 [여권번호]입니다.", "passport"),
        ("면허 11-12-123456-78", "면허 [운전면허번호]", "driver"),
        ("사업자등록번호 220-81-62517", "사업자등록번호 [사업자등록번호]", "business"),
    ],
)
def test_personal_data_is_masked_by_kind(text: str, made: str, kind: str) -> None:
    assert masked(text) == (made, {kind})
    assert f"personal_{kind}" in MENDED
    assert masked(made) == (made, set())


@pytest.mark.parametrize(
    "text",
    [
        "1990년 1월 1일부터 2024-12-31까지",
        "원주율은 3.14159265358979입니다.",
        "900101-1234567은 맞지 않는 번호입니다.",
        "4111-1111-1111-1112",
        "220-81-62518",
        "문의는 help@example.com으로",
        "IP 주소 192.168.100.200",
        "2,350,000,000원",
        "ISBN 978-89-364-3412-0",
        "신한은행은 2022-03-04에 문을 열었습니다.",
        "수협 매출은 98000000000원입니다.",
        "우체국 송장번호는 6012345678901입니다.",
        "git clone git@gitlab.com:group/project.git",
        "ssh -p 22 admin@10-0-0-1.compute.internal.net 로 접속합니다.",
        "pip install git+ssh://git@bitbucket.org/a/b.git",
        "scp file deploy@host.kr:/srv",
        "you@company.com이나 user.name@domain.com처럼 씁니다.",
        "이진수 01011011011",
    ],
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert masked(text) == (text, set())


def test_an_address_that_was_asked_for_stays(tmp_path: Path) -> None:
    asked = row("유효한 이메일 주소의 예를 하나 만드세요.", "minsu.kim@naver.com")
    given = row("이메일 주소의 형식을 고치세요.", "minsu.kim@naver.com", context="minsu.kim@naver.com 입니다")
    _, kept, _ = cleaned(tmp_path, asked, given)
    assert [made.response for made in kept] == ["minsu.kim@naver.com", "[이메일]"]


MINE = row("연락처를 적어 주세요.", "저는 010-2345-6789이고 메일은 kim.minsu@naver.com입니다.")


@pytest.mark.parametrize(
    ("mask", "response"),
    [
        ("on", "저는 [전화번호]이고 메일은 [이메일]입니다."),
        ("email", "저는 010-2345-6789이고 메일은 [이메일]입니다."),
        ("off", MINE["response"]),
    ],
)
def test_masks_are_on_off_or_listed(tmp_path: Path, mask: str, response: str) -> None:
    _, kept, _ = cleaned(tmp_path, MINE, mask=mask)
    assert kept[0].response == response
    assert masked_path(tmp_path / "clean.jsonl").exists() == (mask != "off")


def test_originals_stand_beside_the_rows_for_their_owner_alone(tmp_path: Path) -> None:
    _, kept, _ = cleaned(tmp_path, row(), MINE)
    originals = masked_path(tmp_path / "clean.jsonl")
    assert originals.stat().st_mode & 0o777 == 0o600
    restored = kept[1].response
    for line in reversed(originals.read_text(encoding="utf-8").splitlines()):
        entry = json.loads(line)
        assert (entry["line"], entry["field"]) == (2, "response")
        start = entry["start"]
        assert restored[start:].startswith(entry["mask"])
        restored = restored[:start] + entry["original"] + restored[start + len(entry["mask"]) :]
    assert restored == MINE["response"]


def test_an_unknown_mask_is_named_and_allow_points_to_masks() -> None:
    with pytest.raises(UserError, match="no kind of personal data"):
        rules(mask="telephone")
    with pytest.raises(UserError, match="no reason for which rows go"):
        rules(allow=["personal_email"])


@pytest.mark.parametrize(
    ("response", "made"),
    [
        ("R&amp;D는 연구와 개발입니다.", "R&D는 연구와 개발입니다."),
        ("푸른 바다<br>흰 구름<br/>긴 하루입니다.", "푸른 바다\n흰 구름\n긴 하루입니다."),
        ("<b>상추</b>와 <i>시금치</i>가 좋습니다.", "상추와 시금치가 좋습니다."),
        ("코드입니다.\n```python\nprint(1)```", "코드입니다.\n```python\nprint(1)\n```"),
        ("코드입니다.```\nprint(1)\n```", "코드입니다.\n```\nprint(1)\n```"),
        ("```import os\nprint(1)\n```", "```\nimport os\nprint(1)\n```"),
    ],
)
def test_marks_and_fences_are_mended(tmp_path: Path, response: str, made: str) -> None:
    report, kept, _ = cleaned(tmp_path, row("보여 주세요.", response))
    assert [entry.response for entry in kept] == [made]
    assert set(report.mended) <= {"html_marks", "fence_lines"}


def test_tags_that_were_asked_for_stay(tmp_path: Path) -> None:
    bold = row("'상추'를 굵게 표시하세요.", "나는 <b>상추</b>를 심었습니다.")
    _, kept, _ = cleaned(
        tmp_path, bold, row("HTML에서 줄을 바꾸려면?", "<br>을 쓰거나 &lt;br&gt;라고 적습니다.")
    )
    assert [made.response for made in kept] == [bold["response"], "<br>을 쓰거나 &lt;br&gt;라고 적습니다."]
