"""Texts that are broken as texts, whatever they are about: lost characters, an end that is missing, the
same again and again."""

import re
from collections import Counter

_LOST = re.compile(
    # UTF-8 Hangul read as EUC-KR, then as Latin-1 or cp1252
    "\ufffd|占쏙옙|占싼|(?:[êëìí][\x80-\xbf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ€]{2}){2}"
)
_LOST_MARKS = ("\ufffd", "占", "ê", "ë", "ì", "í")

_CUT_OFF = re.compile(
    r"(?:[,、(\[{<:]| 및| 그리고| 하지만| 그러나| 또는| 또한| 따라서| 그래서| 왜냐하면"
    r"|[있했였었겠됐없않같많좋]습|습니|합니|됩니|입니|십시|하세|[가-힣](?:하며|하면서|이며|해서|되어|에서는|으로써)"
    r"|\b(?:the|an?|of|and|or|to|with|for|in|is|are|that|which))\Z"
)
_PARTICLE_END = re.compile(
    r"\s[가-힣]+(?:[를의을]|에서|에게|으로|보다|처럼|이|가|은|는)\Z",
)
_NOUN_END = re.compile(
    r"(?:[가마노]을|[정동주합문항결회논강창심결협수유본거편함토건상제타명열경성적예의거]의|[나아높길깊넓차종놀사먹둥벌양]이|고양이|어린이|젊은이|이야기"
    r"|[국작전평추증참휴요물주대인저상양농단획효음화소정문]가|[조소]금은|얇은)\Z"
)
"""Common nouns that end in the same syllable as a particle."""
_FEWEST_WORDS_CUT_OFF = 9
"""Words of a last sentence from which an end in a particle is no title, list or line of a poem."""
_LIST_SIGNS = re.compile(r"[,:;|/#*=\[(<>\d\n\"'“”‘’·-]")
_WAITING_END = re.compile(
    r"(?:[가-힣](?:에서는?|에게|으로(?:서|써)?|하여|하며|하고|되고|되어|이고|지고|있고|없고|이며|으며|면서|지만|므로|려고|려면|으면|하면|되면"
    r"|도록|하게|있게|해서|아서|어서|여서|적인|스러운|어야|아야|해야|했고|였고|았고|었고|라는|다는|하는|되는|있는|없는|시키는|뿐만|에는|에도"
    r"|것을|것이|것은|등의|등을|등이|들의|들을|들이|을|를|의)"
    r"|(?![광사보창재신최참경권예충원냉중비도선피상로])[가-힣]고"
    r"|(?:\A|\s)(?:수|더|덜|가장|매우|아주|특히|즉|또|또한|그|이|저|이런|그런|어떤|모든|많은|다른|같은|큰|새로운|다양한|여러|각"
    r"|위해|위한|통해|통한|대해|대한|관한|관해|따라|따른|인해|인한|함께|만약|때문에|하지만|그러나|그리고|것을|것이|것은|등의|등을|등이"
    r"|있는|없는|하는|되는|아니라|할|될|한|된))\Z"
)
"""Endings, particles and words that something has to follow, which no noun ends in or which stand alone."""
_PIECES = re.compile(
    r"[.!?。]['\"”’)]?\s+|\\n|<br>|\n|[#=|;:/*<>]\s*|\d+[.)]\s*|\s-\s*|[①-⑳•·]\s*",
)
"""Between sentences and between the items of a list."""
_SENTENCE_BEFORE = re.compile(r"[다요]\.\s[^\n]*\Z")
_FEWEST_WORDS_WAITING = 5
_EMPTY_ITEM = re.compile(r"\n[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]*\Z")
_ENDS_WELL = frozenset(".!?。！？…~\"'”’)]}」』》`")
_SHORTEST_CUT_OFF = 25
"""Answers of fewer characters are often no sentence at all."""

_DIGITS = re.compile(r"(?<!\d)(?:\d*?([1-9])\1{9}\d*|(?=[01]*[2-9])\d{31,})(?!\d)")
_ABOUT_NUMBERS = re.compile(
    r"이진|진수|비트|바이너리|원주율|파이|소수점|자릿?수|팩토리얼|피보나치|제곱|거듭|곱|나누|나눗|더하|더한|합|계산|숫자|난수|배열"
    r"|코드|함수|binary|hex|해시|암호|비밀번호|```",
    re.IGNORECASE,
)

_SIGN = re.compile("[^\\W_]|[\u2190-\u2bff\U0001f000-\U0001faff]")
"""A letter, a figure, or a symbol or emoji that can be an answer."""
_NO_ANSWER = frozenset({"nan", "null", "none", "undefined", "n/a", "-"})
_MORSE = re.compile(r"(?=.*[.·•].*)[-.·•–—/\s]*[-–—][-.·•–—/\s]*")
_ABOUT_MORSE = re.compile(r"모스|morse|부호", re.IGNORECASE)

_LETTERS = re.compile(r"[^\W\d_]")
_TABLES = ("```", "|", "</")
"""Where the same words stand again and again for good reason."""
_SHORTEST_REPEATED = 50
"""Fewest characters of a text, or of a single word, that is searched for repetitions."""
_LONG_RUN = re.compile(r"(.{1,40}?)\1{9,}", re.DOTALL)


def lost_characters(text: str) -> str | None:
    """What shows that a text went through a wrong decoding. To be asked before mending, which takes it
    out."""
    if not any(mark in text for mark in _LOST_MARKS):
        return None
    match = _LOST.search(text)
    return match[0] if match else None


def says_nothing(question: str, answer: str) -> bool:
    """Whether an answer has no letter, figure or symbol, or is a missing value written out. Morse code
    that was asked for
    is one."""
    if _ABOUT_MORSE.search(question) and _MORSE.fullmatch(answer):
        return False
    core = answer.strip(" .").lower()
    return (len(answer) < 12 and core in _NO_ANSWER) or _SIGN.search(answer) is None


def asks_nothing(question: str) -> bool:
    """Whether a question has neither letter nor figure nor symbol. One syllable (`왜`) is a turn in a
    chat."""
    return _SIGN.search(question) is None


def cut_off(response: str) -> str | None:
    """The end of an answer that stops in the middle of a sentence or list; None when it doesn't."""
    if len(response) < _SHORTEST_CUT_OFF or response[-1] in _ENDS_WELL:
        return None
    end = response[-40:]
    if _EMPTY_ITEM.search(end) or _CUT_OFF.search(end) or _ends_in_particle(response) or _waits(response):
        return "…" + end[-20:]
    return None


def _ends_in_particle(response: str) -> bool:
    """Whether the last sentence is a long one and its last word waits for a verb."""
    if not _PARTICLE_END.search(response[-20:]) or _NOUN_END.search(response[-6:]):
        return False
    last = re.split(r"[.!?]\s", response)[-1]
    return len(last.split()) >= _FEWEST_WORDS_CUT_OFF and not _LIST_SIGNS.search(last)


def _waits(response: str) -> bool:
    """Whether the last word waits for another, in what is a sentence and no list of words like it."""
    if not _WAITING_END.search(response[-20:]) or _NOUN_END.search(response[-6:]):
        return False
    last = _PIECES.split(response)[-1]
    words = len(last.split())
    if _SENTENCE_BEFORE.search(response):
        return words >= 2
    return words >= _FEWEST_WORDS_WAITING and len(last.rsplit(",", 1)[-1].split()) >= 3


def digit_run(text: str) -> str | None:
    """A digit other than 0 ten times in a row, or more than thirty digits; None where numbers are the
    subject."""
    match = _DIGITS.search(text)
    if match is None or _ABOUT_NUMBERS.search(text):
        return None
    return match[0][:40]


def repeated(text: str) -> str | None:
    """What a text says again and again; None when it doesn't."""
    if len(text) < _SHORTEST_REPEATED:
        return None
    words = text.split()
    if not words:
        return None
    if max(map(len, words)) >= _SHORTEST_REPEATED:
        match = _LONG_RUN.search(max(words, key=len)[:2000])
        if match and _LETTERS.search(match[1]):
            return match[1][:40]
    if len(words) < 24 or len(set(words)) * 3 > len(words) or any(m in text for m in _TABLES):
        return None
    lines = Counter(line.strip() for line in text.splitlines() if len(line) >= 10)
    if lines:
        line, times = lines.most_common(1)[0]
        if times >= 4 and times * len(line) * 2 > len(text):
            return line[:40]
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    triple, times = triples.most_common(1)[0]
    said = " ".join(triple)
    return said[:40] if times >= 6 and times * 9 > len(words) and _LETTERS.search(said) else None
