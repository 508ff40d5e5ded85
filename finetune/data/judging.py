"""What speaks against a row: patterns of broken, templated and machine-made Korean instruction data.

Each finding is one of `finetune.data.reasons.REJECTED`, with the words that gave it away. A pattern here is
meant to be right nearly every time it fires; what it lets through is cheaper than a good row lost.
"""

import re
from collections import Counter
from collections.abc import Iterator

from finetune.data.personal_data import may_hold_personal_data
from finetune.data.row_json import JsonRow

Finding = tuple[str, str]
"""(name of the reason, what was found)."""

_LOST = re.compile(
    # UTF-8 Hangul read as EUC-KR, then as Latin-1 or cp1252
    "\ufffd|占쏙옙|占싼|(?:[êëìí][\x80-\xbf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ€]{2}){2}"
)
_LOST_MARKS = ("\ufffd", "占", "ê", "ë", "ì", "í")

_MARKER = re.compile(
    r"###[ ]?(?:Instruction|Response|Input|End|Human|Assistant|User|System|Question|Answer"
    r"|질문|답변|맥락|명령어|응답|입력|이전 질문|이전 답변)(?:\([가-힣]+\))?[ ]?:|^### End\s*$"
    r"|<\|[a-z_]{2,24}\|>|\[/?INST\]|<</?SYS>>|</s>|^(?:USER|ASSISTANT|Human|Assistant):[ ]",
    re.MULTILINE,
)
_MAY_BE_MARKER = re.compile(r"###|<\||INST\]|SYS>>|</s>|USER:|ASSISTANT:|Human:|Assistant:")

_TAG = re.compile(
    r"</?(?:div|span|p|br|hr|table|tbody|thead|tr|t[dh]|[uo]l|li|d[ldt]|a|img|b|i|u|em|strong|sup|sub|small|h[1-6]|font"
    r"|center|blockquote|iframe|script|style|pre|code|ref|section|article|input|button|form)(?:\s[^<>]*)?/?>"
    r"|&(?:nbsp|amp|lt|gt|quot|apos|middot|hellip|[lr][sd]quo|#\d{2,5}|#x[0-9a-f]{2,5});",
    re.IGNORECASE,
)
_ABOUT_TAGS = re.compile(
    r"html|태그|마크업|xml|svg|css|jsx|웹\s?(?:페이지|사이트|개발)|javascript|자바\s?스크립트|react|리액트|vue|django|php|jsp"
    r"|regex|정규\s?(?:표현)?식|markdown|마크다운|엔티티|```",
    re.IGNORECASE,
)

_MAY_BE_SELF = re.compile("GPT|AI|언어 ?모델|인공지능|artificial|language model")
_MODEL = (
    r"(?:Chat\s?GPT|챗\s?GPT|GPT-?[345]|Open\s?AI|오픈\s?AI|(?:AI|인공지능)\s?모델"
    r"|(?:대규모\s|거대\s?|대형\s)?(?:AI\s?|인공지능\s?)?언어\s?모델)"
)
_BECAUSE = r"(?:로서|로써|이기\s?때문|이므로|이라서?\s|라서\s)"
_SELF = re.compile(
    rf"(?:^|[\s\"'(])(?:저는|전|나는|제가|저희는|저의 이름은|제 이름은)\s(?:[^.!?\n]{{0,30}}\s)?{_MODEL}"
    rf"|(?:저는|제가|나는)\s(?:AI|인공지능){_BECAUSE}|언어\s?모델{_BECAUSE}"
    r"|\bas an? (?:artificial intelligence|AI)(?: language)?(?: model| assistant)?\b"
    r"|\bI(?:'m| am) (?:ChatGPT|an? (?:AI|artificial intelligence|(?:large )?language model))\b"
    r"|\bI (?:was|am|have been) (?:trained|created|developed|made) by OpenAI",
    re.IGNORECASE | re.MULTILINE,
)
"""An assistant that goes by a name of its own ("저는 인공지능 비서 돌리입니다") is meant to."""
_REFUSAL_WORDS = (
    *("죄송", "미안", "유감", "안타깝", "수 없", "수는 없", "수가 없"),
    *("sorry", "Sorry", "unable", "cannot", "can't", "can not", "apolog", "Apolog"),
)
"""One of these stands in every refusal: most answers need no search for the whole pattern."""
_CANNOT = (
    r"(?:수(?:는|가)?\s?없(?:습니다|어요|네요|다|음)|어렵(?:습니다|네요)|어려워요"
    r"|못\s?(?:합니다|해요|드립니다|하겠)|불가능|않(?:습니다|아요)|모르(?:겠|는)|부족)"
)
_REFUSAL = re.compile(
    r"^(?:죄송|미안|유감스럽|안타깝)[^\n]{0,60}?(?:답|도움|도와|정보|제공|알려|알 수|말씀|안내|작성"
    rf"|생성|수행|작업|요청|이해|번역|요약|입력|문맥|맥락|질문|모델)[^\n]{{0,40}}?{_CANNOT}"
    r"|(?:답변|대답|응답|도움|도와|정보|설명|번역|요약|작성)[^.\n]{0,12}"
    r"(?:해\s?)?(?:드릴|줄|할|제공할|생성할) 수(?:는|가)? 없(?:습니다|어요|네요)"
    r"|\bI(?:'m| am) (?:sorry|unable)"
    r"|\bI (?:cannot|can't|can not) (?:\w+ )?(?:help|assist|provide|answer|fulfil|comply|do that)"
    r"|\bI apologi[sz]e",
    re.IGNORECASE,
)
"""What an assistant says that will not or cannot answer; a shop that cannot take something back has
answered."""
_REFUSAL_WITHIN = 160
"""How many first characters of an answer can refuse; further on it speaks of something else."""

_CUT_OFF = re.compile(
    r"(?:[,、(\[{<:]|[가-힣]를|(?<![가마노고])을| 및| 그리고| 하지만| 그러나| 또는"
    r"| 또한| 따라서| 그래서| 왜냐하면|[있했였었겠됐없않같많좋]습|습니|합니|됩니|입니|십시|하세|[가-힣]"
    r"(?:하며|하면서|이며|해서|되어|에서는|으로써)"
    r"|\b(?:the|an?|of|and|or|to|with|for|in|is|are|that|which))\Z"
)
_EMPTY_ITEM = re.compile(r"\n[ \t]*(?:\d{1,2}[.)]|[-*•])[ \t]*\Z")
_ENDS_WELL = frozenset(".!?。！？…~\"'”’)]}」』》`")
_SHORTEST_CUT_OFF = 30
"""Answers of fewer characters are often no sentence at all."""

_FENCE = re.compile(r"^[ \t>]{0,4}(`{3,}|~{3,})", re.MULTILINE)
_DIGITS = re.compile(r"(\d)\1{8}|(?=[01]*[2-9])\d{31}")
_LETTER = re.compile(r"[^\W_]")
_SIGN = re.compile("[^\\W_]|[\u2190-\u2bff\U0001f000-\U0001faff]")
"""A letter, a figure, or a symbol or emoji that can be an answer."""
_NO_ANSWER = frozenset({"nan", "null", "none", "undefined", "n/a", "-"})

_OTHER_SCRIPTS = re.compile("[\u0400-\u04ff\u0600-\u06ff\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]{6}")
_HANGUL = re.compile("[가-힣ㄱ-ㅣ]")
_LETTERS = re.compile(r"[^\W\d_]")
_CODE_OR_OTHER_LANGUAGE = re.compile(
    r"```|번역|영어|영문|영작|일본어|중국어|한자|한문|프랑스어|불어|독일어|스페인어|러시아어|라틴어|외국어|로마자|알파벳|약자|줄임말"
    r"|코드|함수|쿼리|프로그램|스크립트|명령어|명령줄|알고리즘|클래스|변수|정규식|수식|방정식|공식|계산|SQL|HTML|CSS|JSON|XML|Python|파이썬|Java"
    r"|자바|C\+\+|리눅스|터미널|엑셀|URL|링크|이메일|translate|english|code|function|program",
    re.IGNORECASE,
)
_FEWEST_HANGUL = 0.1
_FEWEST_LETTERS = 20

_TABLES = ("```", "|", "</")
"""Where the same words stand again and again for good reason."""
_SHORTEST_REPEATED = 50
"""Of texts, and of words that are looked at by themselves."""
_LONG_RUN = re.compile(r"(.{1,40}?)\1{9,}", re.DOTALL)


def findings(row: JsonRow) -> Iterator[Finding]:
    """What speaks against a mended row, in the order of REJECTED. Looks no further than it is asked to."""
    response = row.response
    if _LETTER.search(row.instruction) is None or len(row.instruction.strip()) < 2:
        yield "too_short", "the question has hardly a letter"
    if _says_nothing(response):
        yield "too_short", "the answer says nothing"
    texts = row.texts()
    joined = "\n".join(texts)
    for text in texts:
        if ("```" in text or "~~~" in text) and _open_fence(text):
            yield "broken_fence", "a code fence is not closed"
            break
    if "answer_start" not in row.meta and (end := cut_off(response)):
        yield "truncated", end
    for text in texts:
        if len(text) >= _SHORTEST_REPEATED and (again := repeated(text)):
            yield "repeats", again
            break
    if may_hold_personal_data(joined) and (match := _DIGITS.search(joined)):
        yield "digit_run", match[0][:40]
    if _MAY_BE_MARKER.search(joined) and (match := _first(_MARKER, texts)):
        yield "prompt_marker", match[0].strip()
    if ("<" in joined or "&" in joined) and (match := _TAG.search(joined)) and not _ABOUT_TAGS.search(joined):
        yield "html", match[0][:60]
    # All of a conversation's answers are learnt.
    answers = [*(turn.content for turn in row.history if turn.role == "assistant"), response]
    for answer in answers:
        if _MAY_BE_SELF.search(answer) and (match := _SELF.search(answer)):
            yield "identity", match[0].strip()
            break
    for answer in answers:
        start = answer[:_REFUSAL_WITHIN]
        if any(word in start for word in _REFUSAL_WORDS) and (match := _REFUSAL.search(start)):
            yield "refusal", match[0].strip()
            break
    if share := foreign(row, joined):
        yield "hangul_ratio", share
    if is_extractive(row) and response not in row.context:
        yield "answer_not_in_context", response[:60]


def lost_characters(text: str) -> str | None:
    """What shows that a text went through a wrong decoding. To be asked before mending, which takes it
    out."""
    if not any(mark in text for mark in _LOST_MARKS):
        return None
    match = _LOST.search(text)
    return match[0] if match else None


def is_extractive(row: JsonRow) -> bool:
    """Whether the answer was taken word by word from the context, as in KorQuAD."""
    if "answer_start" in row.meta:
        return True
    source = row.meta.get("source")
    return isinstance(source, str) and "korquad" in source.lower()


def cut_off(response: str) -> str | None:
    """The end of an answer that stops in the middle of a sentence or list; None when it doesn't."""
    if len(response) < _SHORTEST_CUT_OFF or response[-1] in _ENDS_WELL:
        return None
    end = response[-40:]
    if _EMPTY_ITEM.search(end) or _CUT_OFF.search(end):
        return "…" + end[-20:]
    return None


def repeated(text: str) -> str | None:
    """What a text says again and again; None when it doesn't."""
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


def foreign(row: JsonRow, joined: str) -> str | None:
    """The share of Hangul in a row that has hardly any without being about code or other languages."""
    # Three bytes a character: Hangul, or another script that the next pattern knows.
    wide = (len(joined.encode()) - len(joined)) // 2
    response = row.response
    if wide * 4 > len(joined) and not _OTHER_SCRIPTS.search(joined):
        narrow = len(response.encode()) < len(response) * 1.3
        if not narrow or len(response) < 2 * _FEWEST_LETTERS:
            return None
    elif _hangul_share(joined) >= _FEWEST_HANGUL and _hangul_share(response) >= _FEWEST_HANGUL:
        return None
    share = min(_hangul_share(joined), _hangul_share(response))
    if share >= _FEWEST_HANGUL or _CODE_OR_OTHER_LANGUAGE.search(row.instruction) or "```" in response:
        return None
    return f"{share:.0%} of the letters are Hangul"


def _hangul_share(text: str) -> float:
    """Hangul among letters; 1 where there are too few letters to say."""
    letters = len(_LETTERS.findall(text))
    return len(_HANGUL.findall(text)) / letters if letters >= _FEWEST_LETTERS else 1.0


def _says_nothing(response: str) -> bool:
    return (len(response) < 12 and response.strip(" .").lower() in _NO_ANSWER) or _SIGN.search(
        response
    ) is None


def _open_fence(text: str) -> bool:
    """Whether a fence is still open at the end (CommonMark: closed by one as long, of the same sign)."""
    opened = ""
    for fence in _FENCE.findall(text):
        if not opened:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = ""
    return bool(opened)


def _first(pattern: re.Pattern[str], texts: list[str]) -> re.Match[str] | None:
    for text in texts:
        if match := pattern.search(text):
            return match
    return None
