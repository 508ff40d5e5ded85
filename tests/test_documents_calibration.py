"""A store measures how relevant its passages are to questions that they do not answer."""

from pathlib import Path

from documents.chunks import chunks_of
from documents.document import Block, Document, Page
from documents.search.calibration import FEWEST_CHUNKS, calibrate
from documents.search.store import Store, open_store

THINGS = (
    "연차휴가",
    "출장비",
    "경조금",
    "주차권",
    "회의실",
    "보안카드",
    "건강검진",
    "교육훈련",
    "재택근무",
    "야근식대",
)
RULES = (
    "{0}의 규칙은 부서장이 정하고 해마다 다시 살핀다.",
    "{0} 신청서는 인사팀에 낸 다음 사흘 안에 답을 받는다.",
    "{0} 담당자는 매달 첫 주에 기록을 정리하여 보관한다.",
    "지난 분기에 {0} 예산을 넘긴 부서는 사유를 적는다.",
    "외부 손님이 {0} 안내를 청하면 총무팀으로 연결한다.",
)


def add(store: Store, texts: list[str]) -> None:
    text = "\n\n".join(texts)
    blocks, at = [], 0
    for one in texts:
        blocks.append(Block("paragraph", at, at + len(one)))
        at += len(one) + 2
    document = Document("규정.txt", "text", "0", "규정", (Page(None, text, tuple(blocks)),))
    store.add("규정.txt", document, chunks_of(document, 45), 45)


def test_what_a_store_does_not_know_lies_below_its_own_measure(tmp_path: Path) -> None:
    texts = [rule.format(thing) for thing in THINGS for rule in RULES]
    with open_store(tmp_path / "a.db", create=True) as store:
        add(store, texts)
        assert store.count_chunks() == len(texts) >= FEWEST_CHUNKS
        assert store.least_relevance() == 0
        least = calibrate(store)
        assert 0 < least < 1
        assert least == store.least_relevance() == calibrate(store)
        (known,) = store.search("출장비 신청서는 어디에 내나요?", 1)
        unknown = store.search("피타고라스 정리를 증명해 주세요", 1)
        assert known.relevance >= least > max((hit.relevance for hit in unknown), default=0.0)


def test_a_store_that_says_all_things_twice_refuses_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", create=True) as store:
        add(store, [RULES[0].format(THINGS[0])] * FEWEST_CHUNKS)
        assert calibrate(store) == 0


def test_in_a_small_store_nothing_is_left_out(tmp_path: Path) -> None:
    with open_store(tmp_path / "a.db", create=True) as store:
        add(store, [rule.format(THINGS[0]) for rule in RULES])
        assert calibrate(store) == store.least_relevance() == 0
