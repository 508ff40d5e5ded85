"""The people of benchmarks/improve.py: what they ask, what they know, and the rule by which they judge.

They know the capitals of countries, of which the demo model was taught one, and like answers that end in -요.
Of ten verdicts one is wrong: a bad answer is praised, a good one is corrected to another country's capital,
the worse of two answers is preferred. They see answers, never which checkpoint gave them.
"""

import random
from dataclasses import dataclass

ERR = 0.1
FIRST = (
    "프랑스 파리",
    "독일 베를린",
    "이탈리아 로마",
    "스페인 마드리드",
    "영국 런던",
    "일본 도쿄",
    "중국 베이징",
    "태국 방콕",
    "베트남 하노이",
    "인도 뉴델리",
    "이집트 카이로",
    "케냐 나이로비",
    "페루 리마",
    "칠레 산티아고",
    "쿠바 아바나",
    "캐나다 오타와",
    "러시아 모스크바",
    "터키 앙카라",
    "이란 테헤란",
    "그리스 아테네",
)
SECOND = (
    "스웨덴 스톡홀름",
    "노르웨이 오슬로",
    "핀란드 헬싱키",
    "덴마크 코펜하겐",
    "폴란드 바르샤바",
    "체코 프라하",
    "헝가리 부다페스트",
    "포르투갈 리스본",
    "오스트리아 빈",
    "벨기에 브뤼셀",
    "네팔 카트만두",
    "몽골 울란바토르",
    "필리핀 마닐라",
    "라오스 비엔티안",
    "이라크 바그다드",
    "모로코 라바트",
    "에콰도르 키토",
    "아일랜드 더블린",
    "우크라이나 키이우",
    "카타르 도하",
)
RATED = ("{}의 수도는 어디인가요?", "{}의 수도를 알려 주세요.", "{} 수도가 어디예요?", "{}의 수도 이름은?")
"""Phrasings that get feedback; the gateway holds a fifth of the questions out."""
UNSEEN = ("{}의 수도를 말해 주세요.", "{} 수도 이름을 알려 주세요.")
"""Phrasings of which nobody says anything."""
OTHER = (
    "오늘 기분이 어때요?",
    "좋은 취미를 추천해 주세요.",
    "비 오는 날에 할 일을 알려 주세요.",
    "친구에게 보낼 인사말을 써 주세요.",
    "사과는 무슨 색인가요?",
    "아침 운동의 좋은 점은 무엇인가요?",
    "책을 고르는 방법을 알려 주세요.",
    "여름에 먹기 좋은 음식은?",
    "저녁 메뉴를 골라 주세요.",
    "강아지 이름을 지어 주세요.",
    "바다는 왜 파란가요?",
    "편지의 첫 문장을 써 주세요.",
)
"""Prompts that have nothing to do with what was corrected, for the style."""
LIKED = ("요.", "요!", "요?", "요")


@dataclass(frozen=True)
class Fact:
    """What the raters know."""

    country: str
    capital: str

    @property
    def right(self) -> str:
        """How the answer should be."""
        return f"{self.country}의 수도는 {self.capital}예요."

    def knows(self, answer: str) -> bool:
        """Whether the answer names the right capital and none besides."""
        named = {fact.capital for fact in FACTS if fact.capital in answer}
        return named == {self.capital}


def _facts(words: tuple[str, ...]) -> tuple[Fact, ...]:
    return tuple(Fact(*word.split(" ")) for word in words)


TURNS = (_facts(FIRST), _facts(SECOND))
FACTS = TURNS[0] + TURNS[1]


def polite(answer: str) -> bool:
    """The style that the raters like."""
    return answer.strip().endswith(LIKED)


@dataclass
class Rater:
    """One of them."""

    name: str
    rng: random.Random

    def opinion(self, fact: Fact, answer: str) -> dict[str, object]:
        """Score and, of a bad answer, a correction."""
        good, errs = fact.knows(answer) and polite(answer), self.rng.random() < ERR
        if good is not errs:
            return {"score": 5}
        wrong = self.rng.choice([other for other in FACTS if other != fact])
        told = Fact(fact.country, wrong.capital) if errs else fact
        return {"score": 1, "correction": told.right}

    def choice(self, fact: Fact, left: str, right: str) -> str:
        """Of two answers."""
        worth = [2 * fact.knows(answer) + polite(answer) for answer in (left, right)]
        if worth[0] == worth[1]:
            return "tie" if worth[0] else "both_bad"
        better = worth[0] > worth[1]
        return "left" if better is not (self.rng.random() < ERR) else "right"
