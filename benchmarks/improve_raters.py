"""The people of benchmarks/improve.py: what they ask, what they know, and the rule by which they judge.

They know the capitals of countries, of which the demo model was taught one. Of everyday questions they know
nothing, but there, too, they like answers that end in -요. Of ten verdicts one is wrong: a bad answer is
praised, a good one is corrected to that of another question, the worse of two answers is preferred. They see
answers, never which checkpoint gave them.
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
FIRST_TALK = (
    ("주말에 무엇을 하면 좋을까요?", "가까운 산을 천천히 걸어 보세요."),
    ("잠이 오지 않을 때는 어떻게 하나요?", "따뜻한 물로 씻고 불을 꺼 보세요."),
    ("새해 인사를 써 주세요.", "새해 복 많이 받으시고 늘 건강하세요."),
    ("겨울에 마시기 좋은 것은?", "따뜻한 유자차가 좋아요."),
    ("고양이는 왜 낮에 자나요?", "밤에 사냥을 하던 동물이라서 그래요."),
    ("친구와 다투었을 때는 어떻게 하나요?", "먼저 미안하다고 말해 보세요."),
    ("집들이 선물을 추천해 주세요.", "작은 화분이 좋겠어요."),
    ("봄에 피는 꽃을 알려 주세요.", "개나리와 진달래가 먼저 피어요."),
    ("운동을 오래 이어 가는 방법은?", "짧게라도 날마다 같은 때에 해 보세요."),
    ("감기에 걸렸을 때 먹기 좋은 음식은?", "따뜻한 죽이 좋아요."),
    ("바나나는 무슨 색인가요?", "잘 익으면 노란색이에요."),
    ("회의를 짧게 끝내는 방법을 알려 주세요.", "무엇을 정할지 먼저 적어 두세요."),
    ("아이에게 읽어 줄 이야기를 골라 주세요.", "토끼와 거북이 이야기를 읽어 주세요."),
    ("눈은 왜 하얀가요?", "빛을 모두 되비추어서 하얗게 보여요."),
    ("라면을 맛있게 끓이는 방법은?", "물이 끓은 뒤에 면을 넣어 보세요."),
    ("생일 카드에 쓸 말을 알려 주세요.", "태어나 주어서 고마워요."),
    ("여행 가방에 무엇을 넣을까요?", "갈아입을 옷과 칫솔을 챙기세요."),
    ("아침에 일찍 일어나는 방법은?", "전날 밤에 한 시간 먼저 누워 보세요."),
    ("거북이는 무엇을 먹나요?", "풀과 작은 물고기를 먹어요."),
    ("화분에 물은 언제 주나요?", "흙이 말랐을 때 넉넉히 주세요."),
    ("영화를 한 편 추천해 주세요.", "가족과 함께 볼 따뜻한 영화가 좋아요."),
    ("선생님께 드릴 감사 인사를 써 주세요.", "늘 따뜻하게 가르쳐 주셔서 고마워요."),
    ("달은 왜 모양이 바뀌나요?", "햇빛을 받는 쪽이 달라 보여서 그래요."),
    ("점심으로 무엇을 먹을까요?", "오늘은 비빔밥을 먹어 보세요."),
    ("목이 마를 때 무엇을 마실까요?", "시원한 보리차를 마셔 보세요."),
    ("가을에 피는 꽃은?", "국화와 코스모스가 피어요."),
    ("회사 동료에게 줄 선물을 추천해 주세요.", "향이 좋은 차가 좋겠어요."),
    ("기린은 왜 목이 긴가요?", "높은 나무의 잎을 먹어서 그래요."),
    ("집중이 되지 않을 때는 어떻게 하나요?", "잠깐 일어나서 걸어 보세요."),
    ("설날에 하는 놀이를 알려 주세요.", "윷놀이와 연날리기를 해요."),
    ("오이는 무슨 색인가요?", "겉은 초록색이에요."),
    ("아픈 친구에게 보낼 말을 써 주세요.", "푹 쉬고 얼른 나아요."),
    ("비행기에서 할 일을 골라 주세요.", "미리 받아 둔 책을 읽어 보세요."),
    ("빵을 오래 두는 방법은?", "잘라서 얼려 두세요."),
    ("강은 왜 바다로 가나요?", "물은 낮은 곳으로 흐르니까요."),
    ("첫 출근 날에 조심할 것은?", "조금 일찍 나서 보세요."),
    ("여름 밤에 하기 좋은 일은?", "강가를 천천히 걸어 보세요."),
    ("다람쥐는 무엇을 먹나요?", "도토리와 밤을 먹어요."),
    ("부모님께 드릴 편지의 첫 문장을 써 주세요.", "늘 지켜봐 주셔서 고마워요."),
    ("손이 시릴 때는 어떻게 하나요?", "장갑을 끼고 손을 비벼 보세요."),
)
SECOND_TALK = (
    ("가을에 가 볼 곳을 알려 주세요.", "단풍이 고운 산으로 가 보세요."),
    ("손님을 맞을 때 하는 말은?", "어서 오세요, 기다리고 있었어요."),
    ("발표가 떨릴 때는 어떻게 하나요?", "숨을 깊이 쉬고 천천히 말해 보세요."),
    ("토마토는 무슨 색인가요?", "잘 익으면 빨간색이에요."),
    ("할머니께 드릴 선물을 골라 주세요.", "포근한 목도리가 좋겠어요."),
    ("비가 온 뒤에 왜 시원한가요?", "물이 마르면서 더위를 가져가서 그래요."),
    ("책상을 치우는 방법을 알려 주세요.", "쓰지 않는 것부터 버려 보세요."),
    ("물고기는 어떻게 숨을 쉬나요?", "아가미로 숨을 쉬어요."),
    ("졸업을 축하하는 말을 써 주세요.", "졸업을 축하해요, 앞날이 밝기를 바라요."),
    ("눈이 피곤할 때는 어떻게 하나요?", "먼 곳을 잠깐 바라보세요."),
    ("저녁에 듣기 좋은 음악은?", "조용한 피아노 음악이 좋아요."),
    ("강아지와 산책할 때 챙길 것은?", "물과 봉투를 챙기세요."),
    ("개미는 왜 줄을 지어 가나요?", "앞에 간 개미의 냄새를 따라가서 그래요."),
    ("돈을 아끼는 방법을 알려 주세요.", "쓴 돈을 날마다 적어 보세요."),
    ("이웃에게 건넬 인사를 써 주세요.", "안녕하세요, 좋은 하루 보내세요."),
    ("더운 날에 먹기 좋은 것은?", "시원한 수박이 좋아요."),
    ("별은 왜 반짝이나요?", "공기가 흔들려서 그렇게 보여요."),
    ("처음 배우기 좋은 악기는?", "작은 우쿨렐레가 좋아요."),
    ("단어를 잘 외우는 방법은?", "소리 내어 여러 번 읽어 보세요."),
    ("나무는 겨울에 왜 잎을 떨구나요?", "물을 아끼려고 그래요."),
    ("동생에게 보낼 편지의 첫 문장을 써 주세요.", "보고 싶은 동생아, 잘 지내고 있지요?"),
    ("간식으로 무엇이 좋을까요?", "고구마와 우유가 좋아요."),
    ("약속에 늦었을 때 하는 말은?", "늦어서 미안해요, 많이 기다렸지요?"),
    ("무지개는 언제 보이나요?", "비가 갠 뒤 해를 등지면 보여요."),
)
"""Everyday questions that get feedback, each with what a rater writes where the answer is not liked."""
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
"""Everyday questions of which nobody says anything, for the style."""
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


def _talks(pairs: tuple[tuple[str, str], ...]) -> tuple[Talk, ...]:
    return tuple(Talk(*pair) for pair in pairs)


@dataclass(frozen=True)
class Turn:
    """What people ask before a turn of the loop."""

    facts: tuple[Fact, ...]
    talks: tuple[Talk, ...]

    def asked(self) -> list[tuple[Fact | Talk, str]]:
        """Each with a question for it."""
        facts = [(fact, phrasing.format(fact.country)) for fact in self.facts for phrasing in RATED]
        return [*facts, *((talk, talk.question) for talk in self.talks)]


TURNS = (Turn(_facts(FIRST), _talks(FIRST_TALK)), Turn(_facts(SECOND), _talks(SECOND_TALK)))
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
