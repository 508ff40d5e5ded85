"""Characters that can be corrected in a text without a doubt: control characters, spaces, Unicode forms."""

import re

from common.normal_form import is_nfc, nfc

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufff9-\ufffb\ufffe\uffff]")
# The zero-width joiner stays after pictographs, where it joins two emoji into one.
_INVISIBLE = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e"
    "\ufeff\uffa0]|(?<![\u200d\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d"
)
_SPACES = re.compile("[\xa0\u2000-\u200a\u202f\u205f]")


def is_plain(text: str) -> bool:
    """Whether `mend_text` would change nothing but the blanks around the text; much faster than mending."""
    return is_nfc(text) and _ODD.search(text) is None


def mend_text(text: str) -> tuple[str, set[str]]:
    """(the corrected text, the reasons in MENDED that applied). A second call changes nothing."""
    names: set[str] = set()
    while True:
        mended, found = _mend_once(text)
        names.update(found)
        if mended == text:
            return mended, names
        text = mended


def _mend_once(text: str) -> tuple[str, list[str]]:
    found = []
    for name, pattern, replacement in (
        ("line_ends", _LINE_ENDS, "\n"),
        ("control_characters", _CONTROLS, ""),
        ("zero_width", _INVISIBLE, ""),
        ("odd_spaces", _SPACES, " "),
    ):
        changed = pattern.sub(replacement, text)
        if changed != text:
            found.append(name)
            text = changed
    composed = nfc(text)
    if composed != text:
        found.append("nfc")
        text = composed
    stripped = text.strip()
    if stripped != text:
        found.append("outer_blanks")
        text = stripped
    return text, found
