"""Faults that make a generated row unusable, whatever it is about."""

from finetune.data.clean.findings import findings
from finetune.data.clean.foreign_text import other_language
from finetune.rows.fast_row import JsonRow
from finetune.synthetic.speech_level import is_mixed

LEAST_HANGUL = 0.3
"""Share of Hangul among the letters of a question, and of an answer that is not taken from its context."""


def fault_of(row: JsonRow, *, terse: bool = False) -> str:
    """The row's first fault, as it is counted; "" for a good row. A `terse` answer need not be a sentence:
    its end and speech level are not checked."""
    if not row.instruction.strip() or not row.response.strip():
        return "question or answer is empty"
    if hangul_share(row.instruction) < LEAST_HANGUL:
        return "the question is not Korean"
    if hangul_share(row.response) < LEAST_HANGUL and row.response not in row.context:
        return "the answer is not Korean"
    if other_language(row.instruction, "", row.response):
        return "the answer is not Korean"
    if not terse and is_mixed(row.response):
        return "speech levels are mixed"
    found = next((name for name, _ in findings(row) if not (terse and name == "truncated")), "")
    return f"cleaning rejects it: {found}" if found else ""


def hangul_share(text: str) -> float:
    """Share of Hangul among the letters of a text; 1 for a text without letters."""
    letters = [sign for sign in text if sign.isalpha()]
    return sum("가" <= sign <= "힣" for sign in letters) / len(letters) if letters else 1.0
