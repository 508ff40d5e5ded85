"""What speaks against a row: patterns of broken, templated and machine-made Korean instruction data.

Each finding is one of `finetune.rows.reasons.REJECTED`, with the words that gave it away. How often each
is right,
and how many it finds, is measured by `benchmarks/cleaning.py`.
"""

import re
from collections.abc import Callable, Iterator

from finetune.data.clean import broken_text, foreign_text, machine_talk, markup
from finetune.data.clean.personal_data import may_hold_digits
from finetune.rows.fast_row import JsonRow

RowFinding = tuple[str, str]
"""(name of the reason, what was found)."""

_MARKER = re.compile(
    r"###[ ]?(?:Instruction|Response|Input|End|Human|Assistant|User|System|Question|Answer"
    r"|질문|답변|맥락|명령어|응답|입력|이전 질문|이전 답변)(?:\([가-힣]+\))?[ ]?:|^### End\s*$"
    r"|<\|[a-z_]{2,24}\|>|\[/?INST\]|<</?SYS>>|</s>|^(?:USER|ASSISTANT|Human|Assistant):[ ]",
    re.MULTILINE,
)
_MAY_BE_MARKER = re.compile(r"###|<\||INST\]|SYS>>|</s>|USER:|ASSISTANT:|Human:|Assistant:")


def findings(row: JsonRow) -> Iterator[RowFinding]:
    """What speaks against a mended row, in the order of REJECTED. Looks no further than it is asked to."""
    texts = row.texts()
    joined = "\n".join(texts)
    yield from _broken(row, texts, joined)
    if _MAY_BE_MARKER.search(joined) and (match := _first(_MARKER, texts)):
        yield "prompt_marker", match[0].strip()
    # All of a conversation's answers are learnt.
    turns = _turns(row)
    yield from _first_of(turns, "leaked_prompt", lambda q, _c, a: machine_talk.leaked_prompt(q, a))
    if markup.may_hold_html(joined) and (tag := markup.html(joined)) and not markup.is_about_tags(joined):
        yield "html", tag
    yield from _first_of(turns, "identity", lambda q, c, a: machine_talk.identity(f"{q}\n{c}", a))
    yield from _first_of(turns, "refusal", machine_talk.refusal)
    yield from _first_of(turns[-1:], "hangul_ratio", foreign_text.other_language)
    yield from _first_of(turns, "foreign_words", foreign_text.foreign_word)
    if is_extractive(row) and row.response not in row.context:
        yield "answer_not_in_context", row.response[:60]


def _broken(row: JsonRow, texts: list[str], joined: str) -> Iterator[RowFinding]:
    if broken_text.asks_nothing(row.instruction):
        yield "too_short", "the question has no letter"
    if not row.tool_calls and broken_text.says_nothing(row.instruction, row.response):
        yield "too_short", "the answer says nothing"
    if ("```" in joined or "~~~" in joined) and any(map(markup.is_fence_open, texts)):
        yield "broken_fence", "a code fence is not closed"
    if "answer_start" not in row.meta and (end := broken_text.cut_off(row.response)):
        yield "truncated", end
    if again := next(filter(None, map(broken_text.repeated, texts)), None):
        yield "repeats", again
    if may_hold_digits(joined) and (digits := broken_text.digit_run(joined)):
        yield "digit_run", digits


_Turn = tuple[str, str, str]
"""Question, context, answer."""
_Rule = Callable[[str, str, str], str | None]


def _turns(row: JsonRow) -> list[_Turn]:
    last = (row.instruction, row.context, row.response)
    if not row.history and not row.steps:
        return [last]
    asked = ""
    turns = []
    for turn in row.history:
        if turn.role == "assistant" and turn.weight:  # an answer that is not learnt may say anything
            turns.append((asked, "", turn.content))
        elif turn.role == "user":
            asked = turn.content
    done = [(row.instruction, row.context, turn.content) for turn in row.steps if turn.role == "assistant"]
    return [*turns, *done, last]


def _first_of(turns: list[_Turn], reason: str, rule: _Rule) -> Iterator[RowFinding]:
    for turn in turns:
        if found := rule(*turn):
            yield reason, found
            return


def is_extractive(row: JsonRow) -> bool:
    """Whether the answer was taken word by word from the context, as in KorQuAD."""
    if "answer_start" in row.meta:
        return True
    source = row.meta.get("source")
    return isinstance(source, str) and "korquad" in source.lower()


def _first(pattern: re.Pattern[str], texts: list[str]) -> re.Match[str] | None:
    for text in texts:
        if match := pattern.search(text):
            return match
    return None
