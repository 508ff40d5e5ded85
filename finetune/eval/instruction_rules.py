"""Whether a Korean answer has the form that its question asked for, by rules that need no judge model.

After IFEval (Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models"), for Korean:
lengths in characters and sentences, honorific endings, Hangul alone. Rules and questions are kodolly's own.
"""

import json
import re
from collections.abc import Callable, Mapping

MARK = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
BETWEEN = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")
BULLET = re.compile(r"^\s*[-*•] \S", re.MULTILINE)
NUMBERED = re.compile(r"^\s*\d+[.)] \S", re.MULTILINE)
FORMAL = re.compile(r"(?:니다|니까|요|시오|세요|죠)[\"'”’).!?…]*$")
Value = int | str


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text that hold a letter or a digit, without list markers."""
    lines = [MARK.sub("", line, count=1) if MARK.match(line) else line for line in text.splitlines()]
    parts = [part.strip() for line in lines for part in BETWEEN.split(line)]
    return [part for part in parts if re.search(r"\w", part)]


def _is_json(text: str, _value: Value) -> bool:
    fenced = re.fullmatch(r"```(?:json)?\n(.*)\n```", text, re.DOTALL)
    try:
        json.loads(fenced[1] if fenced else text)
    except ValueError:
        return False
    return True


def _is_formal(text: str, _value: Value) -> bool:
    found = sentences(text)
    return bool(found) and all(FORMAL.search(sentence) for sentence in found)


def _paragraphs(text: str, value: Value) -> bool:
    return len([part for part in re.split(r"\n\s*\n", text) if part.strip()]) == value


RULES: Mapping[str, Callable[[str, Value], bool]] = {
    "most_sentences": lambda text, value: 0 < len(sentences(text)) <= int(value),
    "sentences": lambda text, value: len(sentences(text)) == value,
    "most_characters": lambda text, value: 0 < len(text) <= int(value),
    "least_characters": lambda text, value: len(text) >= int(value),
    "paragraphs": _paragraphs,
    "bullets": lambda text, value: len(BULLET.findall(text)) == value,
    "numbered": lambda text, value: len(NUMBERED.findall(text)) == value,
    "contains": lambda text, value: str(value) in text,
    "avoids": lambda text, value: bool(text) and str(value) not in text,
    "begins": lambda text, value: text.startswith(str(value)),
    "ends": lambda text, value: text.endswith(str(value)),
    "formal": _is_formal,
    "no_latin": lambda text, _value: bool(text) and re.search(r"[A-Za-z]", text) is None,
    "no_digits": lambda text, _value: bool(text) and re.search(r"\d", text) is None,
    "json": _is_json,
}
"""Rule name -> test of a stripped answer and the rule's value; `formal`, `no_latin`, `no_digits` and `json`
ignore the value."""
