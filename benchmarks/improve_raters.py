"""The people of benchmarks/improve.py: what they ask, what they know, and the rule by which they judge.

They know the capitals of countries, of which the demo model was taught one. Of everyday questions
(improve_everyday.py) they know nothing, but there, too, they like answers that end in -요. Of ten verdicts
one is wrong: a bad answer is praised, a good one is corrected to that of another question, the worse of two
answers is preferred. They see answers, never which checkpoint gave them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.improve_everyday import EACH, TAUGHT, shuffled

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
STRANGE = (
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
    "봄에 가 볼 곳을 추천해 주세요.",
    "화가 날 때는 어떻게 하나요?",
    "포도는 무슨 색인가요?",
    "추석 인사를 써 주세요.",
    "커피를 맛있게 내리는 방법은?",
    "새는 어떻게 하늘을 나나요?",
    "친구 생일에 무엇을 줄까요?",
    "방을 따뜻하게 하는 방법을 알려 주세요.",
    "겨울에 하기 좋은 놀이는?",
    "물을 많이 마시면 왜 좋은가요?",
    "면접을 앞두고 떨릴 때는 어떻게 하나요?",
    "아버지께 드릴 선물을 골라 주세요.",
    "나비는 무엇을 먹나요?",
    "글씨를 예쁘게 쓰는 방법은?",
    "결혼을 축하하는 말을 써 주세요.",
    "밤하늘은 왜 어두운가요?",
    "아침으로 무엇을 먹을까요?",
    "눈 오는 날에 조심할 것은?",
    "노래를 한 곡 추천해 주세요.",
    "토끼는 왜 귀가 긴가요?",
    "공부에 집중하는 방법을 알려 주세요.",
    "헤어질 때 하는 말은?",
    "소풍에 무엇을 가져갈까요?",
    "가을에 먹기 좋은 과일은?",
    "배가 고플 때는 어떻게 하나요?",
    "동생에게 들려줄 이야기를 골라 주세요.",
    "해는 왜 저녁에 붉은가요?",
    "이웃에게 줄 선물을 추천해 주세요.",
)
"""Everyday questions of which nobody says anything, and of a kind that the model cannot answer."""
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

    def wrong(self, rng: random.Random) -> str:
        """What somebody writes who errs."""
        return Fact(self.country, rng.choice([other for other in FACTS if other != self]).capital).right


@dataclass(frozen=True)
class Talk:
    """An everyday question, to which any answer will do."""

    question: str
    right: str
    """What a rater would say."""

    def knows(self, _answer: str) -> bool:
        """Nobody knows better."""
        return True

    def wrong(self, rng: random.Random) -> str:
        """What somebody writes who errs."""
        return rng.choice([other.right for other in TALKS if other != self])


def _facts(words: tuple[str, ...]) -> tuple[Fact, ...]:
    return tuple(Fact(*word.split(" ")) for word in words)


def _talks(answered: Sequence[tuple[str, str, str]]) -> tuple[Talk, ...]:
    return tuple(Talk(question, polite) for question, _, polite in answered)


@dataclass(frozen=True)
class Turn:
    """What people ask before a turn of the loop."""

    facts: tuple[Fact, ...]
    talks: tuple[Talk, ...]

    def asked(self) -> list[tuple[Fact | Talk, str]]:
        """Each with a question for it."""
        facts = [(fact, phrasing.format(fact.country)) for fact in self.facts for phrasing in RATED]
        return [*facts, *((talk, talk.question) for talk in self.talks)]


FIRST_TALK, SECOND_TALK, OTHER = (shuffled()[TAUGHT:][at : at + EACH] for at in (0, EACH, 2 * EACH))
TURNS = (Turn(_facts(FIRST), _talks(FIRST_TALK)), Turn(_facts(SECOND), _talks(SECOND_TALK)))
OTHERS = _talks(OTHER)
"""Everyday questions of which nobody says anything, for the style."""
FACTS = TURNS[0].facts + TURNS[1].facts
TALKS = TURNS[0].talks + TURNS[1].talks


def polite(answer: str) -> bool:
    """The style that the raters like."""
    return answer.strip().endswith(LIKED)


@dataclass
class Rater:
    """One of them."""

    name: str
    rng: random.Random

    def opinion(self, about: Fact | Talk, answer: str) -> dict[str, object]:
        """Score and, of a bad answer, a correction."""
        good, errs = about.knows(answer) and polite(answer), self.rng.random() < ERR
        if good is not errs:
            return {"score": 5}
        return {"score": 1, "correction": about.wrong(self.rng) if errs else about.right}

    def choice(self, about: Fact | Talk, left: str, right: str) -> str:
        """Of two answers."""
        worth = [2 * about.knows(answer) + polite(answer) for answer in (left, right)]
        if worth[0] == worth[1]:
            return "tie" if worth[0] else "both_bad"
        better = worth[0] > worth[1]
        return "left" if better is not (self.rng.random() < ERR) else "right"
