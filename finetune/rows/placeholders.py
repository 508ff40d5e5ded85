"""Texts that only say that there is no text, as instruction data sets have them in empty input fields."""

from common.normal_form import nfc

_PLACEHOLDERS = frozenset(
    {
        *("없음", "입력없음", "입력값없음", "입력내용없음", "입력데이터없음", "입력사항없음", "내용없음"),
        *(
            "입력이없습니다",
            "입력값이없습니다",
            "입력내용이없습니다",
            "입력이필요없습니다",
            "입력이필요하지않습니다",
        ),
        *("입력필요없음", "입력불필요", "필요없음", "추가입력없음", "별도입력없음", "맥락없음", "문맥없음"),
        *("해당없음", "해당사항없음", "해당없습니다", "해당사항이없습니다"),
        *(
            "noinput",
            "noinputneeded",
            "noinputrequired",
            "noinputprovided",
            "noinputisneeded",
            "noinputisrequired",
        ),
        *(
            "noinputnecessary",
            "nocontext",
            "nocontextneeded",
            "nocontextrequired",
            "notrequired",
            "notneeded",
        ),
        *("inputnotrequired", "inputnotneeded", "notapplicable"),
        *("n/a", "na", "none", "null", "nil", "nan"),
    }
)
"""Compared in lower case, without blanks, underscores and surrounding punctuation."""

_AROUND = " \t\r\n<>[](){}.。\"'`-*:!"
_BETWEEN = str.maketrans("", "", " \t\r\n\u00a0\u3000_-")
_LONGEST = 40
"""Characters; a longer text is no placeholder. Decomposed Hangul has three to a syllable."""


def without_placeholder(text: str) -> str:
    """The text, or '' where it is blank or only says that there is none (`입력 없음`, `<noinput>`, `N/A`)."""
    if len(text) > _LONGEST:
        return text
    core = nfc(text).strip(_AROUND).translate(_BETWEEN).lower()
    return "" if not core or core in _PLACEHOLDERS else text
