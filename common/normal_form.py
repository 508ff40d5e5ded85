"""Unicode normal forms of text from outside.

`unicodedata.normalize` sorts the marks behind a letter one by one, in a time that grows with the square of
their number and with all other threads at a stand: 200 KB of nothing but marks take half a minute. Here long
runs are sorted beforehand, which changes nothing in the result: marks of different classes may stand in any
order (UAX #15).
"""

import unicodedata
from typing import Literal

import regex

_LONG = regex.compile(r"[\p{M}\uff9e\uff9f]{32,}")
"""Whatever has a combining class, or becomes something that has one."""


def nfc(text: str) -> str:
    """`text` in NFC, in a time that grows with its length alone."""
    return text if text.isascii() else unicodedata.normalize("NFC", _sorted(text, "NFD"))


def nfkc(text: str) -> str:
    """`text` in NFKC, in a time that grows with its length alone."""
    return text if text.isascii() else unicodedata.normalize("NFKC", _sorted(text, "NFKD"))


def is_nfc(text: str) -> bool:
    """Whether `nfc` changes nothing."""
    return nfc(text) == text if _LONG.search(text) else unicodedata.is_normalized("NFC", text)


def _sorted(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """With long runs of marks taken apart and in the order of their classes."""

    def in_order(run: regex.Match[str]) -> str:
        apart = {ord(mark): unicodedata.normalize(form, mark) for mark in set(run[0])}
        marks = run[0].translate(apart)
        fixed = "".join(mark for mark in set(marks) if unicodedata.combining(mark) == 0)
        # Those without a class stay where they are: nothing is moved past them.
        return "".join(map(_by_class, regex.split(rf"([{fixed}])", marks) if fixed else [marks]))

    ordered: str = _LONG.sub(in_order, text)
    return ordered


def _by_class(marks: str) -> str:
    """The marks in the order of their classes, within each in their own. There are some fifty classes. A few
    marks stay as they are."""
    if len(marks) < 32:
        return marks
    classes: dict[int, set[int]] = {}
    for mark in set(marks):
        classes.setdefault(unicodedata.combining(mark), set()).add(ord(mark))
    known = set().union(*classes.values())
    return "".join(marks.translate(dict.fromkeys(known - classes[one])) for one in sorted(classes))
