"""A service asks a child for what takes Kiwi: the same answers, through its end, and no Kiwi of its own."""

import sys
import threading
from collections.abc import Iterator

import pytest

from common.errors import UserError
from documents import korean
from documents.korean import Token, asking, joints
from documents.korean_child import KoreanChild
from documents.morphemes import morphemes_of

WITHOUT_KIWI = """
import os
from documents import korean_child
from documents.korean import Token

def words(texts):
    if "죽어" in texts:
        os._exit(3)
    return [[Token(one, "NNG", 0, len(one)) for one in text.split()] for text in texts]

korean_child.local_tokens = words
korean_child.local_scores = lambda texts: [float(len(text)) for text in texts]
korean_child.main()
"""
"""A child that takes no seconds to load."""


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[KoreanChild]:
    monkeypatch.setattr(korean, "kiwi", lambda: pytest.fail("Kiwi was loaded here"))
    made = KoreanChild((sys.executable, "-c", WITHOUT_KIWI))
    yield made
    made.close()


def test_a_child_analyses_for_all_threads(child: KoreanChild) -> None:
    texts = [f"연차 휴가 {number}" for number in range(40)]
    found: dict[int, list[list[Token]]] = {}

    def ask(number: int) -> None:
        found[number] = child.tokens(texts[number:])

    with asking(child):
        assert morphemes_of(["연차 휴가"]) == [["연차", "휴가"]]
        assert joints(["연차를 쓰", "는 사람"]) == [" "]  # the longer text is the likelier one there
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, tokens in found.items():
        assert [" ".join(one.form for one in text) for text in tokens] == texts[number:]


def test_a_child_that_dies_is_followed_by_another(child: KoreanChild) -> None:
    assert child.tokens(["연차"]) == [[Token("연차", "NNG", 0, 2)]]
    with pytest.raises(UserError, match="died"):
        child.tokens(["죽어"])
    assert child.scores(["연차"]) == [2.0]
    child.close()
    with pytest.raises(UserError, match="stopping"):
        child.tokens(["연차"])
