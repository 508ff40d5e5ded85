"""Speech levels of Korean text, told by its sentence endings: 합니다, 해요, 한다. A row keeps to one."""

import re

from common.sentences import split_sentences

_FORMAL = re.compile(r"(?:[가-힣]니다|[가-힣]니까|십시오|십시요|[가-힣]시다)$")
_POLITE = re.compile(r"[가-힣](?:요|죠)$")
_EITHER = re.compile(r"(?:세요|셔요|까요)$")
"""Endings of requests and offers that both polite levels share."""
_PLAIN = re.compile(r"[가-힣](?:다|는가|은가|인가|느냐|라|자)$")
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]+`", re.DOTALL)
_QUOTED = re.compile(r"[\"“‘「『《'][^\"”’」』》'\n]{1,200}[\"”’」』》']")
_END_SIGNS = " \t.!?…。~)]\"'”’"
_FEWEST_WORDS = 2


def speech_levels(text: str) -> set[str]:
    """The levels `formal`, `polite` and `plain` that occur in the text. Code and quotations are left out, as
    they are not the writer's own speech; titles and list items have no level."""
    own = _QUOTED.sub(" ", _CODE.sub(" ", text))
    return {level for sentence in split_sentences(own) if (level := _level(sentence))}


def is_mixed(text: str) -> bool:
    """Whether sentences of the text have different levels."""
    return len(speech_levels(text)) > 1


def _level(sentence: str) -> str:
    bare = sentence.rstrip(_END_SIGNS)
    ended = sentence.rstrip()[-1:] in ".!?…。" or _FORMAL.search(bare) is not None
    if not ended or len(bare.split()) < _FEWEST_WORDS or _EITHER.search(bare):
        return ""
    if _FORMAL.search(bare):
        return "formal"
    if _POLITE.search(bare):
        return "polite"
    return "plain" if _PLAIN.search(bare) else ""
