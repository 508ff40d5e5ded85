"""Text that is not Korean where Korean was wanted: whole answers, and single words between Korean ones."""

import re

_LETTERS = re.compile(r"[^\W\d_]")
_HANGUL = re.compile("[가-힣ㄱ-ㅣ]")
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")
_FUNCTION_WORDS = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "of",
        "to",
        "in",
        "on",
        "for",
        "and",
        "or",
        "but",
        "that",
        "this",
        "these",
        "those",
        "it",
        "its",
        "with",
        "from",
        "as",
        "at",
        "by",
        "i",
        "you",
        "he",
        "she",
        "we",
        "they",
        "my",
        "your",
        "his",
        "her",
        "our",
        "their",
        "not",
        "have",
        "has",
        "had",
        "do",
        "does",
        "did",
        "will",
        "would",
        "can",
        "could",
        "should",
        "there",
        "here",
        "so",
        "if",
        "when",
        "which",
        "who",
        "what",
        "how",
    ]
)
_LATIN_WORD = re.compile(r"[A-Za-z]{3,}")
_ASKS_FOR_LANGUAGES = re.compile(
    r"번역(?!되)|영어|영문|영작|일본|중국|한자|한문|프랑스|불어|독일|스페인|러시아|라틴|아랍|그리스|베트남|태국|외국어|외래어|언어"
    r"|어근|어원|성경|논어|맹자|사자성어|고사성어|천자문|translate|english",
    re.IGNORECASE,
)
_ASKS_FOR_OTHERS = re.compile(
    r"```|로마자|알파벳|약자|줄임말|약어|철자|스펠링"
    r"|코드|함수|쿼리|프로그램|스크립트|명령어|명령줄|알고리즘|클래스|변수|정규식|수식|방정식|공식|계산|SQL|HTML|CSS|JSON|XML|Python|파이썬|Java"
    r"|자바|C\+\+|리눅스|터미널|엑셀|URL|링크|이메일|가사|노래|곡|팝송|시구|인용|명언|제목|참고\s?문헌|논문|translate|english|code|function|program",
    re.IGNORECASE,
)
_FEWEST_LETTERS = 20
_FEWEST_HANGUL = 0.1
_FEWEST_WORDS = 6
_PROSE = 0.2
"""Share of function words from which English words are sentences, not names: running text has 0.4 to 0.5."""
_OTHER_ALPHABETS = re.compile("[\u0400-\u04ff\u0600-\u06ff\u0e00-\u0e7f\u3040-\u30ff]")

_MAY_BE_FOREIGN = re.compile("[\u0370-\u06ff\u0900-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
_GLUED = re.compile(
    "(?<=[가-힣])(?:[\u3040-\u30ff]+|[\u3400-\u9fff]+|[\u0600-\u06ff]+|[\u0400-\u04ff]{2,})"
    "|(?:[\u3040-\u30ff]+|[\u3400-\u9fff]{2,}|[\u0600-\u06ff]+|[\u0400-\u04ff]{2,})(?=[가-힣])"
    "|(?<![(（\"'\u0590-\u0e7f])[\u0590-\u06ff\u0900-\u0e7f]+"
    "|(?<=[가-힣] )[\u0400-\u04ff\u0600-\u06ff]{2,}(?= [가-힣])|(?<=[가-힣] )[\u3040-\u309f]{1,3}(?=[ ,.])"
)
"""Signs of another script with no bracket between them and Hangul; a Cyrillic or Arabic word between two
Korean ones."""
_ALPHABET_START = re.compile(r"^[\u0400-\u04ff]{2,}(?= [가-힣])|(?<=[.!?] )[\u0400-\u04ff]{2,}(?= [가-힣])")
_HEADLINE_SIGNS = frozenset("美中日北英獨佛露前現新故全脫親反對非無有男女大小上下內外韓朴金李與野檢警軍靑")
"""Single Hanja that newspapers set before or after a Korean word (美 대통령, 前총리, 대북韓)."""
_MANY = 4
"""From so many Hanja words on a text is written in the mixed script, as older Korean ones are."""


def other_language(question: str, context: str, answer: str) -> str | None:
    """What shows that a row has no Korean text where it should have some; None where it has, or was asked
    for another language,
    code, names or titles."""
    # Three bytes a character: Hangul, or another script that the next pattern knows.
    wide = (len(answer.encode()) - len(answer)) // 2
    if wide * 4 > len(answer) and not _MAY_BE_FOREIGN.search(answer):
        return None
    letters = len(_LETTERS.findall(answer))
    if letters < _FEWEST_LETTERS or len(_HANGUL.findall(answer)) >= _FEWEST_HANGUL * letters:
        return None
    if _HANGUL.search(question) is None and len(_LETTERS.findall(question)) >= 8:
        return "neither question nor answer is Korean"
    if _LATIN_WORD.search(question) or _ASKS_FOR_LANGUAGES.search(question + context):
        return None
    if _ASKS_FOR_OTHERS.search(question) or _ASKS_FOR_OTHERS.search(context) or "```" in answer:
        return None
    if len(_OTHER_ALPHABETS.findall(answer)) >= _FEWEST_LETTERS:
        return answer[:40]
    words = [word.lower() for word in _WORD.findall(answer)]
    if len(words) < _FEWEST_WORDS or answer.count(" ") < _FEWEST_WORDS - 1:
        return None
    small = sum(word[:1].islower() for word in _WORD.findall(answer)) / len(words)
    said = sum(word in _FUNCTION_WORDS for word in words) / len(words)
    return answer[:40] if small >= 0.5 and said >= _PROSE else None


def foreign_word(question: str, context: str, answer: str) -> str | None:
    """A word in another script inside a Korean answer that nobody asked for (`자외선吸收`); None when
    there is none."""
    if not _MAY_BE_FOREIGN.search(answer) or _ASKS_FOR_LANGUAGES.search(question + context):
        return None
    found = [*_GLUED.finditer(answer), *_ALPHABET_START.finditer(answer)]
    words = [m[0] for m in found if m[0] not in _HEADLINE_SIGNS and m[0] not in question + context]
    hanja = sum(1 for word in words if "\u3400" <= word[0] <= "\u9fff")
    if not words or hanja >= _MANY:
        return None
    return words[0]
