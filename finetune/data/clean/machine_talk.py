"""Answers in which the machine that wrote them speaks of itself: as ChatGPT, as one that cannot answer, or
with
pieces of the prompt it was given.

Precision and recall of each rule on published data: `benchmarks/cleaning.py`.
"""

import re

_LATIN_END = r"(?![A-Za-z])"
_PRODUCT = r"(?:Chat\s?GPT|챗\s?GPT|챗지피티|GPT-?[345](?:\.5|o)?|Open\s?AI|오픈\s?AI)"
_LANGUAGE_MODEL = (
    r"(?:대규모\s|거대\s?|대형\s|초거대\s)?(?:(?:AI|인공\s?지능)\s?)?(?:언어\s?모델|(?:AI|인공\s?지능)\s모델)"
)
_MODEL = rf"(?:{_PRODUCT}|{_LANGUAGE_MODEL}|(?:AI|인공\s?지능)(?:\s?챗봇)?)"
_IS = (
    r"(?:입니다|이에요|예요|이야|이죠|(?:이)?라고\s(?:합니다|해요)|이며|이고|이라서?|라서|이므로|이기\s?(?:때문|에)"
    r"|로서|으로서|로써|으로써|일\s뿐|에\s불과)"
)
_GAP = r"(?:(?:사람|인간)이\s(?:아니라|아닌|아니고|아니며),?\s)?(?:(?![^\s.!?\n]*(?:이|가)\s)[^.!?\n]){0,40}?"
"""Between "저는" and what it is. A word with a subject's particle starts a clause about something else."""
_MAY_BE_SELF = (
    *("GPT", "Gpt", "gpt", "지피티", "AI", "Ai", "챗봇", "언어 모델", "언어모델", "인공지능", "인공 지능"),
    *("OpenAI", "오픈AI", "오픈 AI", "artificial", "Artificial", "language model", "as an ai"),
)
_SELF = re.compile(r"GPT|AI|지피티|언어 ?모델|인공 ?지능|챗봇|artificial|language model", re.IGNORECASE)
_SELF = re.compile(
    rf"(?:^|[\s\"'(])(?:저는|전|나는|난|제가|저희는|저의\s이름은|제\s이름은)\s{_GAP}(?<![A-Za-z가-힣]){_MODEL}{_IS}"
    rf"|(?:^|[\s\"'(])(?:저는|나는|제가)\s[^.!?\n]{{0,20}}Open\s?AI(?:에서|가|의|에\s의해)\s?"
    r"(?:만든|만들|개발|훈련|학습|제작|설계)"
    rf"|{_MODEL}인\s?(?:저는|저도|저로|저의|제가|나는|내가)"
    rf"|(?:^|[.!?\n]\s*|[\"'(]){_LANGUAGE_MODEL}(?:로서|로써|이기\s?때문|이므로|이라서?\s)"
    rf"|안녕하(?:세요|십니까)[^가-힣\n]{{0,4}}(?:저는\s)?{_PRODUCT}(?:입니다|이에요|예요|라고)"
    r"|\bas an? (?:artificial intelligence|AI)(?: language)?(?: model| assistant)?\b"
    r"|\bI(?:'m| am) (?:ChatGPT|an? (?:AI|artificial intelligence|(?:large )?language model))\b"
    r"|\bI (?:was|am|have been) (?:trained|created|developed|made) by OpenAI",
    re.IGNORECASE | re.MULTILINE,
)
"""An assistant that goes by a name of its own ("저는 인공지능 비서 돌리입니다") is meant to."""
_PRODUCT_ACTS = re.compile(
    rf"(?:{_PRODUCT})(?:\s?(?:언어\s?)?모델)?(?:은|는|이|가)\s[^.!?\n]{{0,60}}"
    r"(?:수\s?없|생성(?:했|합|해)|제시|찾아|만들|제공|답변|도와)",
    re.IGNORECASE,
)
_ABOUT_MODELS = re.compile(r"GPT|AI|지피티|언어\s?모델|인공\s?지능|챗봇", re.IGNORECASE)


def identity(question: str, answer: str) -> str | None:
    """The words with which an answer claims to be ChatGPT, OpenAI's or an AI; None when it doesn't."""
    if not any(word in answer for word in _MAY_BE_SELF):
        return None
    if match := _SELF.search(answer):
        return match[0].strip()
    # An answer that tells what ChatGPT does, though nobody asked about it, speaks of itself.
    if not _ABOUT_MODELS.search(question) and (match := _PRODUCT_ACTS.search(answer)):
        return match[0].strip()
    return None


REFUSAL_WITHIN = 160
"""How many first characters of an answer can refuse; further on it speaks of something else."""
_REFUSAL_WORDS = (
    *(
        "없",
        "죄송",
        "미안",
        "유감",
        "안타깝",
        "불가",
        "어렵",
        "못",
        "않",
        "필요",
        "부족",
        "주세요",
        "주시",
        "주십",
    ),
    *("바랍", "하십시오", "orry", "nable", "annot", "an't", "an not", "polog"),
)
"""One of these stands in every refusal: most answers need no search for the patterns."""
_CANNOT = (
    r"(?:수(?:는|가|도)?\s?없(?:습니다|어요|네요|다|음|어|으)|어렵(?:습니다|네요)|어려워요|어려울\s"
    r"|못\s?(?:합니다|해요|드립니다|하겠)|불가(?:능)?(?:합|하|해)|지\s?않(?:습니다|아요)|모르(?:겠|는)"
    r"|부족|없(?:습니다|어요|네요))"
)
_THING = (
    r"(?:입력|정보|컨텍스트|문맥|맥락|데이터|자료|내용|이미지|그림|사진|파일|문장|텍스트|기사|본문|지문|설명|요구\s?사항|세부\s?사항"
    r"|코드|링크|값)"
)
_APOLOGY = re.compile(
    rf"^[\s\"'\[(]*(?:죄송|미안|유감스럽|안타깝)[^\n]{{0,80}}?(?:{_CANNOT}|{_THING}[^\n]{{0,20}}?(?:필요|알려|제공|보완))"
)
_SELF_CANNOT = re.compile(
    r"(?:답변|대답|응답|도움|도와|정보|설명|번역|요약)[^.\n]{0,12}(?:해\s?)?(?:드릴|줄|제공할|생성할)\s수(?:는|가)?\s?없"
    r"(?:습니다|어요|네요)"
    r"|(?:만들어|써|지어|그려|작성해|생성해|알려|찾아|보여)\s?(?:드릴|줄)\s수(?:는|가)?\s?없(?:습니다|어요|네요)"
    r"|권한이\s?없(?:습니다|어|으)|(?:명령|요청|작업)(?:을|은|는)\s[^.\n]{0,10}(?:처리|수행|지원)[^.\n]{0,4}(?:수\s?없(?:습|어|으|음)|불가|않습)"
    rf"|{_THING}(?:을|를|이|가|은|는)?\s[^.\n]{{0,20}}?(?:없|않|못)(?:어서?|으므로|아서?|기\s?때문에|해서?)"
    r"[^.\n]{0,40}수\s?없(?:습니다|어|으)"
    r"|(?:API|실시간)[^.\n]{0,15}(?:접속|접근|연결|지원)[^.\n]{0,4}(?:수\s?없|않|못)"
    r"|\bI(?:'m| am) (?:sorry|unable)"
    r"|\bI (?:cannot|can't|can not) (?:\w+ )?(?:help|assist|provide|answer|fulfil|comply|do that)"
    r"|\bI apologi[sz]e",
    re.IGNORECASE,
)
_NO_INPUT = re.compile(
    rf"^[\s\"'\[(]*(?:추가\s?|필요한\s)?{_THING}(?:값|문)?(?:이나\s관련\s정보)?(?:이|가)?\s?(?:없(?:습니다|음|어|으므로)"
    r"|필요(?:합니다|\s없음|\]?$)|주어지지|제공되지|누락|부족)"
    rf"|(?:추가적인|추가|더\s?많은|더\s?자세한|구체적인|명확한)\s{_THING}[^.\n]{{0,12}}?"
    r"(?:필요합니다|필요\]|없(?:으므로|어서?|습니다))"
    rf"|{_THING}(?:값)?(?:이|가)\s(?:제공|입력|첨부|명시|제시|주어)(?:되지|지)\s?않(?:아|았|으)"
    rf"|^[^.\n]{{0,30}}{_THING}(?:이|가)\s없습니다[.\s]*$"
    r"|(?:유효한\s)?(?:응답|답변|결과)(?:이|가)\s?없습니다[.\s]*$"
)
_ASKS_FOR_INPUT = re.compile(
    rf"(?:추가|더\s?많은|더\s?자세한|자세한|구체적인|필요한|명확한)\s{_THING}[^.\n]{{0,25}}?"
    r"(?:필요합니다|제공해\s?주|입력해\s?주|입력하(?:세요|거나|십)|알려\s?주|주시)"
    rf"|{_THING}(?:값)?(?:을|를)\s(?:제공|입력|첨부|명시|제시|보완)(?:해|하여)\s?주(?:세요|십|시)"
    rf"|(?:계산|평가|판단|예측|분류|답변|작성|요약)(?:하려면|하기\s위해서?는?|을\s위해서?는?)[^.\n]{{0,60}}{_THING}(?:이|가)\s필요합니다"
    r"|(?:명확하지|정확하지|구체적이지)\s?않(?:습니다|아|으므로)[^\n]{0,60}알려\s?주"
)
_INABILITY = re.compile(
    r"(?<![가-힣])(?P<verb>[가-힣]{1,6}?)(?:을|를|이|가)?\s?(?:(?:할|될|줄|드릴)\s)?"
    r"(?:수(?:는|가|도)?\s?없(?:습니다|음)|불가능합니다|불가합니다|(?:하기가?|하는\s것[은이])?\s?어렵습니다)(?=[.!\s]|$)"
)
_LOOKED_UP = re.compile(r"(?:알|찾|알아[낼내]|구|확인|파악|조회|제공|답변|응답|처리|수행|판단|식별|변환)")
"""What only who answers can fail to do."""
_SAME_DEED = (
    [
        "만들",
        "만드",
        "작성",
        "생성",
        "쓰",
        "적으",
        "지으",
        "짓",
        "그리",
        "설계",
        "디자인",
        "제작",
        "작곡",
        "구성",
        "매기",
        "매길",
        "연주",
        "재생",
    ],
    ["예측", "추정", "전망", "계산", "측정"],
    ["분류", "식별", "판단", "결정", "평가", "파악", "고르", "선택", "구분", "분석", "비교"],
    ["변환", "바꾸", "번역", "고치", "수정", "읽어", "요약"],
)
"""Words for the same kind of task: who is to write and cannot make refuses."""
_QUESTION_BACK = re.compile(
    r"^[^.!?\n]{2,60}(?:원하시나요|원하십니까|필요하신가요|무엇인가요|어떤\s?것인가요)\?[^\n]{0,60}(?:알려|제시해|말씀해|입력해)\s?주"
    r"|^[^\n]{4,90}(?:알려\s?주|입력해\s?주|제공해\s?주|제시해\s?주|설명해\s?주|제공하|입력하)(?:시면|신다면|실\s수\s있으시다면)[^\n]{0,40}"
    r"(?:드리겠|드릴|제공할\s수|비교하겠|작성해\s?드|도와|수\s있(?:습니다|을))"
)
_ASKED_TO_WRITE = re.compile(
    r"편지|이메일|메일|메시지|대화|대본|대사를|답장|거절|사과(?:하는|문|의|를\s(?:담|전))|고객|번역|응답을|응답은|반응|역할|연기"
    r"|안내문|공지(?!능)|문구|헤드라인|공손|정중|부정(?:형|문)|음수로"
)
"""Requests whose right answer may hold an apology or a refusal."""
_ASKED_TO_ASK = re.compile(
    r"요청하(?:는|도록|세요|십)|입력하도록|입력을\s받|설문|질문\s?(?:목록|세트|생성|만들|작성)|인터뷰|스크립트|프롬프트"
)
"""Requests whose right answer may ask for particulars."""
_ASKS_WHETHER = re.compile(
    r"(?:수\s?있(?:나|는지|습니까|을까|어|니|을지)|되나요|될까|가능한가|가능할까|맞는지|오류|참인지|거짓)"
)
_THIRD_PARTY = re.compile(
    r"(?<![가-힣])(?!저희?가|제가|내가)[가-힣]{2,8}(?:이|가)\s(?:(?!\S*(?:는|은|한|된|던|지|때문에|므로|어서|아서|지만),?\s)[^.!?\n]){0,30}$"
)
"""Somebody or something else that cannot, as the subject of what follows."""
_TO_THE_ASKER = re.compile(r"답변|드릴|줄\s")
_SOMEBODY = re.compile(
    r"(?<![가-힣])(?:그|그녀|나|우리|너|당신|사람|사람들|인간|아이|아이들|그들)(?:는|은)\s[^.!?\n]*$"
)
_NO_SUBJECT = re.compile(rf"{_THING}(?:이|가)\s[^.!?\n]{{0,30}}$")


def refusal(question: str, context: str, answer: str) -> str | None:
    """The words with which an answer declines, or asks for an input in place of an answer; None when it
    doesn't.

    A shop that cannot take something back has answered; so has who says what others cannot do.
    """
    # A whole answer in quotes is the answer; quotes within one are somebody else's words.
    start = answer[:REFUSAL_WITHIN].lstrip(" \"'“[(")
    if not any(word in start for word in _REFUSAL_WORDS):
        return None
    if (match := _SELF_CANNOT.search(start)) and not _is_answer(question, context, start, match):
        return match[0].strip()
    written, asking = _ASKED_TO_WRITE.search(question), _ASKED_TO_ASK.search(question + context)
    for pattern, instead in (
        (_APOLOGY, written),
        (_NO_INPUT, None),
        (_ASKS_FOR_INPUT, written or asking),
        (_QUESTION_BACK, written or asking),
    ):
        match = None if instead else pattern.search(start)
        if match and match[0].strip() not in context and start[: match.end()].count('"') % 2 == 0:
            return match[0].strip()
    return None if written else _cannot_do_what_was_asked(question, context, start)


def _is_answer(question: str, context: str, start: str, match: re.Match[str]) -> bool:
    """Whether the words are what was asked for: about others, or about a text that says so itself."""
    if match[0] in context or match[0] in question:
        return True
    before = start[: match.start()]
    if before.count('"') % 2:
        return True
    other = _THIRD_PARTY.search(before) is not None and _NO_SUBJECT.search(before) is None
    return other or (_ASKED_TO_WRITE.search(question) is not None and not _TO_THE_ASKER.search(match[0]))


def _cannot_do_what_was_asked(question: str, context: str, start: str) -> str | None:
    if _ASKS_WHETHER.search(question):
        return None
    for match in _INABILITY.finditer(start):
        before = start[: match.start()]
        first = ". " not in before and "\n" not in before
        if not first or match[0].strip(" .") in context + question or before.count('"') % 2:
            continue
        if _SOMEBODY.search(before) or (_THIRD_PARTY.search(before) and not _NO_SUBJECT.search(before)):
            continue
        verb = match["verb"]
        if verb.endswith(("은", "는")):
            continue
        if _LOOKED_UP.match(verb) or before.endswith("지 ") or _is_asked(verb, question):
            return start[: match.end()].strip()[-60:]
    return None


def _is_asked(verb: str, question: str) -> bool:
    if len(verb) >= 2 and verb[:2] in question:
        return True
    return any(
        any(verb.startswith(deed) for deed in deeds) and any(deed in question for deed in deeds)
        for deeds in _SAME_DEED
    )


_MAY_BE_LEAK = ("입력", "출력", "지시", "명령", "응답", "nput", "utput", "nstruction", "esponse")
_LABEL = r"(?:입력|출력|지시|지시\s?사항|명령|명령어|Input|Output|Instruction)"
_NUMBERED = re.compile(rf"^[ \t]*{_LABEL}\s?\(?\d{{1,2}}\)?\s?[:：]", re.MULTILINE)
_EXAMPLE = r"^[ \t]*(?:(?:예시|샘플)\s?)?"
_IN_AND_OUT = re.compile(
    rf"{_EXAMPLE}(?:입력|Input)\s?[:：].*?{_EXAMPLE}(?:출력|Output)\s?[:：]", re.MULTILINE | re.DOTALL
)
_EMPTY_INPUT = re.compile(r"^[ \t]*(?:입력|Input)\s?[:：]\s?(?:없음|<?no\s?input>?|N/A)", re.MULTILINE)
_OF_THE_PROMPT = re.compile(
    r"^[ \t]*(?:(?:[가-힣]+\s번째|마지막|\d+번째?)\s응답\s?(?:내용)?(?=\n|:|$)"
    r"|(?:샘플|예시|적절한|가능한)\s?응답\s?[:：])"
    r"|입력(?:과|에)\s(?:관련한|대한)\s(?:적절한\s)?응답\s?[:：]"
    r"|^[ \t]*입력(?:값)?이\s(?:있을|없을)\s때\s?[:：]|^[ \t]*입력으로\s받은\s"
    r"|^[ \t]*입력(?:값)?이\s없(?:기\s때문에|으므로|어서)"
    r"|^[ \t]*### ?(?:Instruction|Input|Response|입력|출력|지시)\b",
    re.MULTILINE,
)
_ABOUT_PROGRAMS = re.compile(
    r"입력|출력|코드|함수|프로그램|알고리즘|스크립트|쿼리|배열|문자열|프롬프트|API|```|파이썬|자바|C\+\+|input|output",
    re.IGNORECASE,
)


def leaked_prompt(question: str, answer: str) -> str | None:
    """A piece of the prompt that made the data, left in an answer; None when there is none."""
    if not any(word in answer for word in _MAY_BE_LEAK):
        return None
    # "입력3:" numbers a batch of tasks; no program's example is numbered from 0 without its output.
    if (match := _NUMBERED.search(answer)) and not _numbers_an_example(question, answer):
        return match[0].strip()
    if match := _EMPTY_INPUT.search(answer) or _OF_THE_PROMPT.search(answer):
        return match[0].strip()
    if not _ABOUT_PROGRAMS.search(question) and (match := _IN_AND_OUT.search(answer)):
        return match[0].strip()[:60]
    return None


def _numbers_an_example(question: str, answer: str) -> bool:
    """Whether an answer shows a program's inputs together with their outputs."""
    if not _ABOUT_PROGRAMS.search(question):
        return False
    return (
        len(re.findall(r"(?:입력|Input)\s?\d", answer))
        == len(re.findall(r"(?:출력|Output)\s?\d", answer))
        > 0
    )
