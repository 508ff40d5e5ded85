"""Text without what nobody can see, as NFC."""

import re
import unicodedata

from common.normal_form import nfc

_BREAK_OR_TAB = frozenset("\n\t")
_JOINERS = frozenset("\u200c\u200d")
"""They shape emoji and some scripts, so they are part of the text."""
_OTHER_BREAKS = re.compile(r"[\v\f\x1c-\x1e\x85\u2028\u2029]")
"""What `str.splitlines` takes for the end of a line, too."""
_SPACES = re.compile(r"[^\S\n]+")


def clean_line(text: str) -> tuple[str, int]:
    """NFC, without controls and invisible characters, of which the number is told; runs of space as one.

    Tag characters (U+E0000 to U+E007F) can carry a hidden message in ASCII, so they count as hidden.
    """
    kept, hidden = _visible(text)
    return "\n".join(_SPACES.sub(" ", line).strip() for line in kept.split("\n")), hidden


def clean_code(text: str) -> tuple[str, int]:
    """As `clean_line`, but spaces stay as they are."""
    return _visible(text)


def _visible(text: str) -> tuple[str, int]:
    text = nfc(_OTHER_BREAKS.sub("\n", text))
    if text.isascii() and text.isprintable():
        return text, 0
    kept = [character for character in text if _is_kept(character)]
    hidden = sum(0xE0000 <= ord(character) <= 0xE007F for character in text)
    # What was taken away may have stood between two characters that compose.
    return nfc("".join(kept)), hidden


def _is_kept(character: str) -> bool:
    if character in _BREAK_OR_TAB or character in _JOINERS:
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
