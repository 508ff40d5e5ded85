"""Text is cut where readers see a character end."""

import pytest

from common.graphemes import cut
from webui.store.conversation_rows import as_title
from webui.store.tables import TITLE_CHARACTERS

FAMILY = "👨‍👩‍👧"
HAN = "\u1112\u1161\u11ab"  # one syllable of three jamo
FLAG = "🇰🇷"


@pytest.mark.parametrize("whole", [FAMILY, HAN, FLAG, "e\u0301", "👍🏽"])
def test_no_cut_goes_through_what_readers_see_as_one(whole: str) -> None:
    words = f"가{whole}나"
    for most in range(2, len(words)):
        assert cut(words, most) == ("가" if most < 1 + len(whole) else f"가{whole}")
    assert cut(words, len(words)) == words


def test_a_grapheme_without_end_leaves_something() -> None:
    assert cut("e" + "\u0301" * 50, 10) == "e" + "\u0301" * 9
    assert cut("", 10) == ""


def test_a_title_ends_with_a_whole_character() -> None:
    begun = "가" * (TITLE_CHARACTERS - 2)
    assert as_title(f"{begun}{FAMILY} 끝") == begun
