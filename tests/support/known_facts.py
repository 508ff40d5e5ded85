"""Papers whose facts are known: regulations of made-up offices, with facts that can be asked for."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OFFICES = (
    *("해오름 도서관", "푸른솔 연구원", "가온 병원", "다솜 복지관", "한빛 박물관", "누리 정보원"),
    *("새벽 물류원", "미르 교육원", "온새미 방송원", "나래 체육원", "보람 상담원", "슬기 출판원"),
)
ROLES = ("총무팀장", "인사과장", "시설관리자", "회계책임자", "보안담당관", "기획실장", "운영국장", "감사관")
STAFF = ("정규직원", "계약직원", "수습직원", "연구직원", "교대근무자", "파견직원")
LEAVES = ("연차휴가", "경조휴가", "병가", "출산휴가", "학습휴가", "포상휴가", "돌봄휴가")
PLACES = ("서고", "전산실", "수장고", "회의실", "실험실", "약품실", "휴게실", "차고")
THINGS = ("개인 노트북", "외부 저장장치", "전열기", "음식물", "사진기", "휴대전화")
COSTS = ("회식비", "교통비", "숙박비", "도서구입비", "회의비", "교육비", "소모품비")
PAPERS = ("출장보고서", "계약서", "회의록", "시설점검표", "대여기록", "민원접수부", "급여대장")
COMMITTEES = ("인사위원회", "안전위원회", "구매심의회", "자료선정회", "윤리위원회")


@dataclass(frozen=True)
class Fact:
    """What a section says, and right and wrong ways to ask and answer."""

    sentence: str
    question: str
    answers: tuple[str, ...]
    """Right ones: in the words of the text, inflected, in other words."""
    wrong: dict[str, tuple[str, str]]
    """Kind of error -> (question, answer)."""


def _other(chance: random.Random, of: tuple[str, ...], but: str) -> str:
    return chance.choice([one for one in of if one != but])


def _leave(c: random.Random, office: str) -> Fact:
    who, what, n = c.choice(STAFF), c.choice(LEAVES), c.randint(3, 60)
    asked = f"{office} {who}의 {what}는 며칠인가요?"
    years = c.randint(2, 9)
    return Fact(
        f"{years}년 이상 근속한 {who}의 {what}는 {n}일로 한다.",
        f"{office}에서 {years}년 이상 근속한 {who}의 {what}는 며칠인가요?",
        (
            f"{years}년 이상 근속한 {who}의 {what}는 {n}일입니다.",
            f"{n}일로 합니다.",
            f"{what}는 총 {n}일이 주어집니다.",
        ),
        {
            "wrong number": (
                f"{office}에서 {years}년 이상 근속한 {who}의 {what}는 며칠인가요?",
                f"{years}년 이상 근속한 {who}의 {what}는 {n + c.randint(1, 9)}일입니다.",
            ),
            "wrong person": (asked, f"{_other(c, STAFF, who)}의 {what}는 {n}일입니다."),
            "condition left out": (asked, f"{who}의 {what}는 {n}일입니다."),
        },
    )


def _deadline(c: random.Random, office: str) -> Fact:
    what, role, n = c.choice(COSTS), c.choice(ROLES), c.randint(2, 29)
    asked = f"{office}의 {what} 정산서는 누구에게 며칠 안에 제출하여야 하나요?"
    return Fact(
        f"{what} 정산서는 사용한 날부터 {n}일 안에 {role}에게 제출하여야 한다.",
        asked,
        (
            f"사용한 날부터 {n}일 안에 {role}에게 제출하여야 합니다.",
            f"{n}일 안에 {role}에게 제출해야 합니다.",
            f"{role}에게 {n}일 이내에 내야 합니다.",
        ),
        {
            "wrong number": (asked, f"사용한 날부터 {n + 30}일 안에 {role}에게 제출하여야 합니다."),
            "wrong person": (
                asked,
                f"사용한 날부터 {n}일 안에 {_other(c, ROLES, role)}에게 제출하여야 합니다.",
            ),
        },
    )


def _ban(c: random.Random, office: str) -> Fact:
    who, place, thing, role = c.choice(STAFF), c.choice(PLACES), c.choice(THINGS), c.choice(ROLES)
    asked = f"{office} {who}는 {place}에서 {thing}을 사용할 수 있나요?"
    return Fact(
        f"{who}는 {role}의 허가를 받지 않으면 {place}에서 {thing}을 사용할 수 없다.",
        asked,
        (
            f"{role}의 허가를 받지 않으면 {place}에서 {thing}을 사용할 수 없습니다.",
            f"{who}는 {role}의 허가를 받지 않으면 사용할 수 없습니다.",
            f"{role}이 허가해야만 쓸 수 있습니다.",
        ),
        {
            "denial turned": (
                asked,
                f"{role}의 허가를 받지 않으면 {place}에서 {thing}을 사용할 수 있습니다.",
            ),
            "wrong person": (
                asked,
                f"{_other(c, ROLES, role)}의 허가를 받지 않으면 {place}에서 {thing}을 사용할 수 없습니다.",
            ),
        },
    )


def _limit(c: random.Random, office: str) -> Fact:
    what, n, role = c.choice(COSTS), c.randint(2, 95), c.choice(ROLES)
    asked = f"{office}에서 {what}는 한 달에 얼마를 넘지 못하나요?"
    return Fact(
        f"{what}는 한 달에 {n}만 원을 넘지 못하며 {role}이 확인한다.",
        asked,
        (
            f"{what}는 한 달에 {n}만 원을 넘지 못합니다.",
            f"한 달에 {n * 10000:,}원을 넘지 못합니다.",
            f"매달 {n}만 원까지만 쓸 수 있습니다.",
        ),
        {
            "wrong number": (asked, f"{what}는 한 달에 {n + 5}만 원을 넘지 못합니다."),
            "denial turned": (asked, f"{what}는 한 달에 {n}만 원을 넘습니다."),
        },
    )


def _board(c: random.Random, office: str) -> Fact:
    board, n, role = c.choice(COMMITTEES), c.randint(3, 15), c.choice(ROLES)
    asked = f"{office}의 {board}는 몇 명으로 구성하고 위원장은 누가 맡나요?"
    return Fact(
        f"{board}는 위원 {n}명으로 구성하고 위원장은 {role}이 맡는다.",
        asked,
        (
            f"{board}는 위원 {n}명으로 구성하고 위원장은 {role}이 맡습니다.",
            f"위원 {n}명으로 구성하며 {role}이 위원장을 맡습니다.",
            f"{n}명이며 위원장은 {role}입니다.",
        ),
        {
            "wrong number": (asked, f"{board}는 위원 {n + 2}명으로 구성하고 위원장은 {role}이 맡습니다."),
            "wrong person": (asked, f"위원 {n}명으로 구성하며 {_other(c, ROLES, role)}이 위원장을 맡습니다."),
        },
    )


def _keeping(c: random.Random, office: str) -> Fact:
    paper, n, place = c.choice(PAPERS), c.randint(2, 30), c.choice(PLACES)
    asked = f"{office}의 {paper}는 몇 년 동안 어디에 보존하나요?"
    return Fact(
        f"{paper}는 작성한 날부터 {n}년 동안 {place}에 보존한다.",
        asked,
        (
            f"{paper}는 작성한 날부터 {n}년 동안 {place}에 보존합니다.",
            f"{place}에 {n}년 동안 보존합니다.",
            f"{n}년간 {place}에 둡니다.",
        ),
        {
            "wrong number": (asked, f"{paper}는 작성한 날부터 {n + 1}년 동안 {place}에 보존합니다."),
            "denial turned": (asked, f"{paper}는 {n}년 동안 {place}에 보존하지 않습니다."),
        },
    )


_KINDS = (_leave, _deadline, _ban, _limit, _board, _keeping)
_SECTIONS = ("근무와 휴가", "비용의 집행", "시설의 이용", "위원회", "기록의 관리", "그 밖의 사항")


def _new(
    kind: Callable[[random.Random, str], Fact], chance: random.Random, office: str, known: list[Fact]
) -> Fact:
    """One whose question no other fact answers."""
    asked = {fact.question for fact in known}
    while (fact := kind(chance, office)).question in asked:
        pass
    return fact


def write_papers(folder: Path, offices: int, sections: int, seed: int) -> list[Fact]:
    """Markdown files, one for each office; returns the facts that they state."""
    chance = random.Random(seed)
    facts: list[Fact] = []
    for number in range(offices):
        office = OFFICES[number % len(OFFICES)] + ("" if number < len(OFFICES) else f" {number}분관")
        lines = [f"# {office} 운영 규정", ""]
        for section in range(sections):
            lines += [f"## 제{section + 1}장 {_SECTIONS[section % len(_SECTIONS)]}", ""]
            made = [_new(kind, chance, office, facts) for kind in chance.sample(_KINDS, 4)]
            facts += made
            lines += [
                f"{at}. {fact.sentence} 이 항목은 {office}의 모든 부서에 적용하며 해마다 다시 살핀다."
                for at, fact in enumerate(made, start=1)
            ]
            lines.append("")
        (folder / f"{office}.md").write_text("\n".join(lines), encoding="utf-8")
    return facts
