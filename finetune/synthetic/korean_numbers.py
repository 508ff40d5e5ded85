"""The numbers that a Korean text states, in figures or in words: 25, 3만 5천, 이십오 일, 사흘, 두 명."""

import re

_UNITS = {"십": 10, "백": 100, "천": 1000}
_MYRIADS = {"만": 10**4, "억": 10**8, "조": 10**12}
_SINO = {"일": 1, "이": 2, "삼": 3, "사": 4, "오": 5, "육": 6, "칠": 7, "팔": 8, "구": 9}
_NATIVE = {
    "한": 1,
    "하나": 1,
    "두": 2,
    "둘": 2,
    "세": 3,
    "셋": 3,
    "석": 3,
    "네": 4,
    "넷": 4,
    "넉": 4,
    "다섯": 5,
    "여섯": 6,
    "일곱": 7,
    "여덟": 8,
    "아홉": 9,
    "열": 10,
    "열한": 11,
    "열두": 12,
    "스무": 20,
}
_DAYS = {
    "하루": 1,
    "이틀": 2,
    "사흘": 3,
    "나흘": 4,
    "닷새": 5,
    "엿새": 6,
    "이레": 7,
    "여드레": 8,
    "아흐레": 9,
    "열흘": 10,
    "보름": 15,
}
_COUNTERS = (
    "가지|개월|개|곳|권|군데|그루|달|대|마리|명|번|분|사람|살|시간|시|잔|장|주|차례|채|켤레|통|해|년|일"
    "|원|회|인|배|퍼센트|미터|킬로그램|단계|점|등|호|층|세|주일|부|건|조|항|쪽"
)
_NO_OTHER_WORD = r"(?!(?!입니|이[며고다]|까지|부터|동안|이상|이하|미만|이내|으로|마다)[가-힣]{3})"
_FIGURES = re.compile(r"\d[\d,]*(?:\.\d+)?")
_MIXED = re.compile(r"\d[\d,]*(?:\.\d+)?\s?[십백천만억조]+(?:\s?\d[\d,]*\s?[십백천만억]+)*(?![가-힣]*[습니])")
_MIXED_PART = re.compile(r"(\d[\d,]*(?:\.\d+)?)\s?([십백천]?)([만억조]?)")
_SINO_WORD = re.compile(
    rf"(?<![가-힣])(?![이일]\s)([일이삼사오육칠팔구십백천만억조]{{1,12}})\s?(?:{_COUNTERS}){_NO_OTHER_WORD}"
)
"""A Sino-Korean number before a counter; 이 일 (this matter) is not one."""
_NATIVE_WORD = re.compile(
    rf"(?<![가-힣])({'|'.join(sorted(_NATIVE, key=len, reverse=True))})\s?(?:{_COUNTERS}){_NO_OTHER_WORD}"
)
_DAY_WORD = re.compile(rf"(?<![가-힣])({'|'.join(_DAYS)})")
_WORDS = (_SINO_WORD, _NATIVE_WORD, _DAY_WORD)


def figures_in(text: str) -> set[str]:
    """The numbers written in figures; with 천, 만, 억 behind them as one number (3만 5천: 35000)."""
    mixed = {_plain(_mixed_value(match[0])) for match in _MIXED.finditer(text)}
    return mixed | {_figure(found) for found in _FIGURES.findall(_MIXED.sub(" ", text))}


def words_in(text: str) -> set[str]:
    """The numbers written in words, as figures."""
    text = _FIGURES.sub(" ", _MIXED.sub(" ", text))
    return {_in_figures(match) for pattern in _WORDS for match in pattern.finditer(text)}


def with_figures(text: str) -> str:
    """The text with its number words as figures: 십오 일 becomes 15 일."""
    for pattern in _WORDS:
        text = pattern.sub(lambda m: _in_figures(m) + m[0][m.end(1) - m.start() :], text)
    return text


def stated_in(text: str) -> set[str]:
    """The numbers of a text in every reading, as a claim about the text may use any of them."""
    return figures_in(text) | words_in(text) | {_figure(found) for found in _FIGURES.findall(text)}


def _in_figures(match: re.Match[str]) -> str:
    word = match[1]
    known = _DAYS.get(word) or _NATIVE.get(word)
    return str(_sino_value(word) if known is None else known)


def _figure(written: str) -> str:
    return _plain(float(written.replace(",", ""))) if len(written) < 16 else written.replace(",", "")


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _mixed_value(written: str) -> float:
    whole, below = 0.0, 0.0
    for number, unit, myriad in _MIXED_PART.findall(written):
        below += float(number.replace(",", "")) * _UNITS.get(unit, 1)
        if myriad:
            whole += below * _MYRIADS[myriad]
            below = 0.0
    return whole + below


def _sino_value(word: str) -> int:
    whole, below, digit = 0, 0, 0
    for sign in word:
        if sign in _SINO:
            digit = digit * 10 + _SINO[sign]
        elif sign in _UNITS:
            below += (digit or 1) * _UNITS[sign]
            digit = 0
        else:
            whole += (below + digit or 1) * _MYRIADS[sign]
            below = digit = 0
    return whole + below + digit
