"""Personal data in Korean text: found by form, by the words around it and, where a number has one, by its
check digit.

The masks are plain Korean words. polyglot-ko has tokens of its own for this (<|rrn|>, <|tel|>, <|acc|>), but
they are special tokens there: spelt out in a text they would be refused by training, and in every other
model they would be letters.
"""

import datetime
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

RRN_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
CENTURY = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "3": 2000, "4": 2000, "7": 2000, "8": 2000}
"""By the seventh digit: sex, nationality and century of birth."""
NO_CHECKSUM_SINCE = datetime.date(2020, 10, 5)
"""Numbers given to people born since have six random digits at the end."""
BUSINESS_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)

MASKS = {
    "rrn": "[주민등록번호]",
    "card": "[카드번호]",
    "phone": "[전화번호]",
    "driver": "[운전면허번호]",
    "passport": "[여권번호]",
    "business": "[사업자등록번호]",
    "account": "[계좌번호]",
    "email": "[이메일]",
}
"""Kind of personal data -> what takes its place."""
KINDS = frozenset(MASKS)


@dataclass(frozen=True)
class Masked:
    """One stretch of text that a mask took the place of."""

    kind: str
    start: int
    """Where the mask begins in the masked text, in characters."""
    original: str


_WIDE = str.maketrans(
    "０１２３４５６７８９－（）．＠＋／＿‐‑‒–—−\u3000\xa0·ㆍ",
    "0123456789-().@+/_------  ..",
)
"""Full-width digits and signs, all dashes, blanks and middle dots, one for one: places in a text stay."""

_DIGITS = re.compile(r"\d[\d\-. )(/_·ㆍ\u3000\xa0‐-—−－（）．／＿]{4,}\d")
_EDGE = r"(?<![\d-])(?<!\d\.)"
_END = r"(?![\d-])"
_RRN = re.compile(rf"(?<![\d-])(\d{{6}})(\s?[-./_]?\s?)([1-8]\d{{6}}){_END}", re.ASCII)
_CARD = re.compile(
    r"(?<![\d-])(?:\d{4}(?P<four> ?[-.] ?| ?)\d{4}(?P=four)\d{4}(?P=four)\d{4}"
    r"|3[47]\d{2}(?P<amex> ?[-.] ?| ?)\d{6}(?P=amex)\d{5}"
    r"|3(?:0[0-5]|[68]\d)\d(?P<diners>[-. ])\d{6}(?P=diners)\d{4})(?![\d-])",
    re.ASCII,
)
_CARD_ISSUERS = re.compile(r"4|5[1-5]|2[2-7]|3[457]|6|9")
_MOBILE = r"1[016789]"
_AREA = r"(?:2|[3-6][1-5]|70|50\d)"
_PHONE = re.compile(
    rf"\(0(?:{_MOBILE}|{_AREA})\)[-. ]?\d{{3,4}}[-. ]?\d{{4}}{_END}"
    rf"|{_EDGE}0(?:{_MOBILE}|{_AREA})\)[-. ]?\d{{3,4}}[-. ]?\d{{4}}{_END}"
    rf"|(?:{_EDGE}(?:\+|00 ?)82|\(\+82\))[-. ]?(?:\(0\)|0)?(?:{_MOBILE}|{_AREA})[-. )]{{0,2}}"
    rf"\d{{3,4}}[-. ]?\d{{4}}{_END}"
    rf"|{_EDGE}82[-. ]?{_MOBILE}[-. ]\d{{3,4}}[-. ]\d{{4}}{_END}"
    rf"|{_EDGE}0{_MOBILE}(?:[-. ]{{0,2}}| [-.] |[/_])\d{{3,4}}(?:[-. ]{{0,2}}| [-.] |[/_])\d{{4}}{_END}"
    rf"|{_EDGE}0{_AREA}(?:[-. ]{{1,2}}| [-.] )\d{{3,4}}(?:[-. ]| [-.] )\d{{4}}{_END}",
    re.ASCII,
)
_PHONE_NAMED = re.compile(
    rf"(?:전화|연락처|팩스|휴대폰|핸드폰|☎|\b(?:tel|fax)\b)[^\n\d]{{0,8}}(?<![\d.+-])(0{_AREA}\d{{7,8}}){_END}",
    re.ASCII | re.IGNORECASE,
)
"""Without a mark between its parts, a number of a landline is like any other."""
_DRIVER = re.compile(
    rf"(?<![\d-])(?:1[1-9]|2[0-68]|서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산)"
    rf"[- ]?\d{{2}}-\d{{6}}-\d{{2}}{_END}"
)
_PASSPORT = re.compile(
    r"(?:여권|passport)[^\n]{0,20}?(?<![A-Za-z\d])([A-Z](?:\d{8}|\d{3}[A-Z]\d{4}))(?![A-Za-z\d])",
    re.IGNORECASE,
)
_BUSINESS = re.compile(rf"(?<![\d-])\d{{3}}-\d{{2}}-\d{{5}}{_END}", re.ASCII)
_BUSINESS_NAMED = re.compile(rf"사업자[^\n\d]{{0,12}}(\d{{10}}){_END}", re.ASCII)
_BANK = r"(?:[가-힣]{0,6}(?:은행|뱅크|농협|수협|신협)|새마을금고|우체국|(?<![A-Za-z])(?:KB|NH|IBK))"
_BANK_SHORT = (
    r"(?<![가-힣])(?:국민|신한|우리|하나|기업|제일|씨티|산업|대구|부산|경남|전북|광주|제주|토스|카카오|케이)"
)
_OWNER = r"(?:예금주\s?:?\s?)?[가-힣]{2,4}\s"
"""Whose the account is, between the bank and the number."""
_BESIDE_NUMBER = r"(?:[\s:;,(·]|은|는|이|가|의|에|로|으로|계좌|번호|통장|입금|출금|이체|송금|예금주?)"
_ACCOUNT = re.compile(
    rf"(?:{_BANK}{_BESIDE_NUMBER}{{0,8}}|계좌[^\n\d]{{0,12}}?)(?<![\d-])(\d{{2,6}}(?:-\d{{1,8}}){{2,3}}|\d{{10,14}}){_END}"
    rf"|(?:{_BANK_SHORT}\s?:?\s?|{_BANK}\s{_OWNER})(?<![\d-])(\d{{2,6}}(?:-\d{{1,8}}){{2,3}}){_END}"
    rf"|(?<![\d-])(\d{{2,6}}(?:-\d{{1,8}}){{2,3}})(?=\s?[(\[]?{_BANK}|\s?[(\[]{_BANK_SHORT}[)\]])",
    re.ASCII,
)
_DATES = re.compile(
    r"(?=[^-]*-?(?:19|20)\d{2}(?!\d))(?:(?:19|20)\d{2}|0?[1-9]|[12]\d|3[01])(?:-(?:(?:19|20)\d{2}|0?[1-9]|[12]\d|3[01]))*"
)
"""A date, or years and months from one to another."""
_COUNTED = re.compile(r"\s?(?:원|달러|엔|위안|유로|명|개|건|주|좌|%|퍼센트|억|만|천|년|월|일(?!체)|톤|km|kg)")
"""What comes after a number that is an amount."""
_OTHER_NUMBER = re.compile(
    r"등기|송장|운송장|배송|주문|접수|일련|상품|우편|사건|매출|자산|금액|잔액|대출|코드|버전|날짜"
)

_EMAIL = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}(?:@|\s?[(\[]at[)\]]\s?)"
    r"((?:[A-Za-z0-9가-힣-]{1,63}\.){1,4}(?:[A-Za-z]{2,24}|한국))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_FILE_DOMAIN = re.compile(
    r".*\.(?:png|jpe?g|gif|svg|webp|bmp|ico|pdf|html?|css|jsx?|tsx?|json|java|py|tgz|tar|gz)", re.IGNORECASE
)
"""No domain: a file's name with a sign in it, `logo@2x.png`."""
_EXAMPLE_DOMAIN = re.compile(
    r"(?:[\w-]+\.)*(?:example|test|invalid|localhost)"
    r"|(?:[\w-]+\.)*(?:example\d?|(?:my|your|the)?(?:domain|company|site|email|mail|website|corp|organization|org)(?:name)?"
    r"|test|sample|abc|xyz|foo|bar|acme)\.(?:com|org|net|edu|kr|co\.kr|io|co)",
    re.IGNORECASE,
)
"""RFC 2606's, and those that are used as if they were."""
_EXAMPLE_LOCAL = re.compile(
    r"(?:git|hg|svn|you|your[._-]?(?:name|email|id)?|my[._-]?(?:name|email|id)|user(?:[._-]?name)?\d?|name|first\.last|someone"
    r"|somebody|recipient|sender|example|test|foo|bar|john[._]?doe|jane[._]?doe|no-?reply)",
    re.IGNORECASE,
)
_LOGIN_BEFORE = re.compile(
    r"(?:\b(?:ssh|scp|sftp|rsync|mosh|ssh-copy-id|git\s+clone|git\s+remote)\b[^\n가-힣]{0,80}|[a-z+]{2,10}://[^\s@]{0,40})\Z"
)
_PATH_AFTER = re.compile(r":[\w./~-]", re.ASCII)

_ASKED_FOR = {
    "email": re.compile(
        r"(?:이메일|e-?mail|메일|전자\s?우편)\s?(?:의\s)?(?:주소|계정|예|형식)|(?:이메일|메일|email).{0,12}(?:정규|형식|유효|검증)"
        r"|(?:유효한|공식|가짜|예시)\s(?:이메일|메일)",
        re.IGNORECASE,
    ),
    "phone": re.compile(
        r"(?:가짜|예시|유효한|임의의?|무작위)[^.\n]{0,8}(?:전화|휴대폰|연락처)|(?:전화|휴대폰)\s?번호[^.\n]{0,6}(?:예|형식|정규|생성|만들)"
    ),
    "card": re.compile(
        r"(?:가짜|예시|유효한|임의의?|무작위|테스트)[^.\n]{0,8}카드|카드\s?번호[^.\n]{0,6}(?:예|형식|정규|생성|만들)"
    ),
}
"""Questions whose right answer is such an address or number, made up."""


def may_hold_digits(text: str) -> bool:
    """Whether a text has a number long enough to be somebody's."""
    return _DIGITS.search(text) is not None


def may_hold_personal_data(text: str) -> bool:
    """False for nearly every text, quickly."""
    return "@" in text or "＠" in text or "at)" in text or "at]" in text or may_hold_digits(text)


def asked_for(question: str) -> frozenset[str]:
    """Kinds that a question asks an example of: an answer's are then what was wanted."""
    return frozenset(kind for kind, pattern in _ASKED_FOR.items() if pattern.search(question))


def mask_personal_data(text: str, kinds: Collection[str] = KINDS) -> tuple[str, list[Masked]]:
    """(the text with masks, what they stand for, by place)."""
    masked: list[Masked] = []
    for kind, find in _FINDERS:
        if kind not in kinds:
            continue
        for start, end in reversed(list(find(text.translate(_WIDE)))):
            original = text[start:end]
            text = text[:start] + MASKS[kind] + text[end:]
            longer = len(MASKS[kind]) - len(original)
            masked = [Masked(m.kind, m.start + longer, m.original) if m.start > start else m for m in masked]
            masked.append(Masked(kind, start, original))
    return text, sorted(masked, key=lambda mask: mask.start)


def is_rrn(digits: str) -> bool:
    """Whether 13 digits are a Korean resident (or foreigner) registration number of somebody born by now."""
    year = CENTURY.get(digits[6])
    if year is None:
        return False
    try:
        born = datetime.date(year + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return False
    if born > datetime.datetime.now(tz=datetime.UTC).date():
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


def is_business_number(digits: str) -> bool:
    """Whether 10 digits are a Korean business registration number (National Tax Service's check digit)."""
    total = sum(weight * int(digit) for weight, digit in zip(BUSINESS_WEIGHTS, digits, strict=False))
    total += int(digits[8]) * 5 // 10
    return (10 - total % 10) % 10 == int(digits[9])


def _only_digits(text: str) -> str:
    return re.sub(r"\D", "", text)


Spans = Iterator[tuple[int, int]]


def _rrns(text: str) -> Spans:
    return (m.span() for m in _RRN.finditer(text) if is_rrn(m[1] + m[3]))


def _cards(text: str) -> Spans:
    return (m.span() for m in _CARD.finditer(text) if is_card(_only_digits(m[0])))


def _phones(text: str) -> Spans:
    named = ((m.span(1), m[1]) for m in _PHONE_NAMED.finditer(text))
    found = dict([*((m.span(), m[0]) for m in _PHONE.finditer(text)), *named])
    # Ones and zeros alone are a binary number.
    return (span for span, number in sorted(found.items()) if set(_only_digits(number)) - {"0", "1"})


def _drivers(text: str) -> Spans:
    return (m.span() for m in _DRIVER.finditer(text))


def _passports(text: str) -> Spans:
    return (m.span(1) for m in _PASSPORT.finditer(text))


def _businesses(text: str) -> Spans:
    for match in _BUSINESS.finditer(text):
        if is_business_number(_only_digits(match[0])):
            yield match.span()
    for match in _BUSINESS_NAMED.finditer(text):
        if is_business_number(match[1]):
            yield match.span(1)


def _accounts(text: str) -> Spans:
    for match in _ACCOUNT.finditer(text):
        group = next(place for place in (1, 2, 3) if match[place])
        number = match[group]
        before = text[match.start() : match.start(group)]
        digits = _only_digits(number)
        if (
            10 <= len(digits) <= 14
            and not _DATES.fullmatch(number)
            and not _COUNTED.match(text, match.end())
            and not _OTHER_NUMBER.search(before)
        ):
            yield match.span(group)


def _emails(text: str) -> Spans:
    for match in _EMAIL.finditer(text):
        local = re.split(r"@|\s?[(\[]", match[0], maxsplit=1)[0]
        if not (
            _EXAMPLE_DOMAIN.fullmatch(match[1])
            or _FILE_DOMAIN.fullmatch(match[1])
            or _EXAMPLE_LOCAL.fullmatch(local)
            or _LOGIN_BEFORE.search(text[max(0, match.start() - 100) : match.start()])
            or _PATH_AFTER.match(text, match.end())
        ):
            yield match.span()


_FINDERS: tuple[tuple[str, Callable[[str], Spans]], ...] = (
    ("rrn", _rrns),
    ("card", _cards),
    ("driver", _drivers),
    ("phone", _phones),
    ("passport", _passports),
    ("business", _businesses),
    ("account", _accounts),
    ("email", _emails),
)
