"""Personal data in Korean text: found by form and, where a number has one, by its checksum, and masked.

The masks are plain Korean words. polyglot-ko has tokens of its own for this (<|rrn|>, <|tel|>, <|acc|>), but
they are special tokens there: spelt out in a text they would be refused by training, and in every other
model they would be letters.
"""

import datetime
import re
from collections.abc import Callable

RRN_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
CENTURY = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}
"""By the seventh digit: sex, nationality and century of birth."""
NO_CHECKSUM_SINCE = datetime.date(2020, 10, 5)
"""Numbers given to people born since have six random digits at the end."""
PUBLIC_DOMAINS = ("example.com", "example.org", "example.net", "example.co.kr")
"""Reserved for examples (RFC 2606) or used as such."""

_DIGITS = re.compile(r"\d[\d\-. )]{6,}\d")
_RRN = re.compile(r"(?<![\d-])(\d{6})[- ]?([1-8]\d{6})(?![\d-])")
_CARD = re.compile(
    r"(?<![\d-])(?:\d{4}([- ]?)\d{4}\1\d{4}\1\d{4}|3[47]\d{2}([- ]?)\d{6}\2\d{5})(?![\d-])", re.ASCII
)
_CARD_ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[457]|6|9")
_ACCOUNT = re.compile(
    r"((?:은행|뱅크|농협|수협|신협|새마을금고|우체국|계좌)[^\n\d]{0,20})"
    r"(\d{2,6}(?:-\d{2,8}){2,3}|\d{10,14})(?![\d-])",
    re.ASCII,
)
_PHONE = re.compile(
    r"(?<![\d.-])(?:\+82[-. ]?(?:\(0\))?|0)"
    r"(?:1[016789][-. ]?\d{3,4}[-. ]?\d{4}|(?:2|[3-6][1-5]|70|50\d)[-. )]{1,2}\d{3,4}[-. ]\d{4})(?![\d-])",
    re.ASCII,
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@((?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24})(?![A-Za-z0-9])")


def may_hold_personal_data(text: str) -> bool:
    """False for nearly every text, quickly."""
    return "@" in text or _DIGITS.search(text) is not None


def mask_personal_data(text: str) -> tuple[str, list[str]]:
    """(the text with masks, names of what was masked)."""
    found = []
    for name, pattern, replace in _MASKS:
        masked = pattern.sub(replace, text)
        if masked != text:
            found.append(name)
            text = masked
    return text, found


def is_rrn(digits: str) -> bool:
    """Whether 13 digits are a Korean resident (or foreigner) registration number."""
    year = CENTURY.get(digits[6])
    if year is None:
        return False
    try:
        born = datetime.date(year + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return False
    if born >= NO_CHECKSUM_SINCE:
        return True
    total = sum(weight * int(digit) for weight, digit in zip(RRN_WEIGHTS, digits, strict=False))
    # Citizens' numbers end in (11 - total) % 10; foreigners' in (13 - total) % 10.
    offset = 11 if digits[6] in "1234" else 13
    return (offset - total % 11) % 10 == int(digits[12])


def is_card(digits: str) -> bool:
    """Whether the digits carry an issuer's prefix and Luhn's check digit."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return bool(_CARD_ISSUERS.match(digits)) and sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _only_digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _mask_rrn(match: re.Match[str]) -> str:
    return "[주민등록번호]" if is_rrn(match[1] + match[2]) else match[0]


def _mask_card(match: re.Match[str]) -> str:
    return "[카드번호]" if is_card(_only_digits(match[0])) else match[0]


def _mask_account(match: re.Match[str]) -> str:
    return match[1] + "[계좌번호]"


def _mask_phone(_match: re.Match[str]) -> str:
    return "[전화번호]"


def _mask_email(match: re.Match[str]) -> str:
    return match[0] if match[1].lower() in PUBLIC_DOMAINS else "[이메일]"


_MASKS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    ("personal_rrn", _RRN, _mask_rrn),
    ("personal_card", _CARD, _mask_card),
    ("personal_phone", _PHONE, _mask_phone),
    ("personal_account", _ACCOUNT, _mask_account),
    ("personal_email", _EMAIL, _mask_email),
)
