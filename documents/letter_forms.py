"""Letters, digits and units in one form, so that a word is found however it was typed: １５ 15, ㎡ m2, Ⅱ II.

Koreans type units and Roman numerals as single characters, old papers have digits of full width, and PDF
files ligatures.
"""

import re

from common.normal_form import nfc, nfkc

_OTHER_FORMS = re.compile("[\u2160-\u217f\u3371-\u33df\ufb00-\ufb06\uff01-\uffee]+")
"""Roman numerals, units, ligatures, and letters of full and half width. Not circled numbers and powers: ①
is no 1, and 10² no 102."""


def plain_letters(text: str) -> str:
    """The text in NFC, these in the form of NFKC."""
    return nfc(_OTHER_FORMS.sub(lambda found: nfkc(found[0]), text))
