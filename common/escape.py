"""Text from outside (model output, names, data) made safe to show in a terminal or to write into a log.

What is escaped: control characters (C0, DEL, C1), which move the cursor, set titles, fill clipboards; marks
that reorder or hide text (bidi controls of UAX 9, zero-width spaces, tags and their like); line and paragraph
separators; halves of surrogate pairs. What joins visible characters stays: ZWJ, ZWNJ, variation selectors,
and the tags of the three flags that Unicode recommends (UTS 51, RGI_Emoji_Tag_Sequence).
"""

import re
from collections.abc import Iterable, Iterator

_DECEPTIVE = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_BLACK_FLAG = "\U0001f3f4"
_FLAGS = "|".join(
    _BLACK_FLAG + "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_FLAG_OR_DECEPTIVE = re.compile(f"{_FLAGS}|[{_DECEPTIVE}]")
_UNFINISHED = re.compile(f"(?:\r|[\ud800-\udbff]|{_BLACK_FLAG}[\U000e0061-\U000e007a]{{0,5}})\\Z")
"""What only the next piece of a stream explains: half a line break, half a character, half a flag."""
_DECEPTIVE_IN_JSON = re.compile(f"[{_DECEPTIVE}]")


def escape_controls(text: str, keep: str = "") -> str:
    """Line breaks and terminal codes as `\\n`, `\\x1b` ...: nobody can forge a line or colour a terminal.

    The characters of `keep` stay as they are: text that may have several lines keeps "\\n\\t".
    """
    if text.isprintable():
        return text

    def escaped(match: "re.Match[str]") -> str:
        found = match.group()
        if len(found) > 1 or found in keep:
            return found
        return found.encode("unicode_escape").decode()

    return _FLAG_OR_DECEPTIVE.sub(escaped, text)


def escape_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """A streamed answer, escaped as it comes, with its line feeds and tabs.

    What was split over two pieces (CR LF, a surrogate pair, a flag) is judged as the whole that it is.
    """
    held = ""
    for piece in pieces:
        text = _paired(held + piece)
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        held = text[end:]
        if end:
            yield escape_controls(text[:end].replace("\r\n", "\n"), keep="\n\t")
    if held:
        yield escape_controls(held)


def escape_json(document: str) -> str:
    """JSON that means the same, with nothing deceptive in it but the line feeds between its members."""
    if document.isprintable():
        return document
    return _DECEPTIVE_IN_JSON.sub(lambda match: _json_escape(match.group()), document)


def _paired(text: str) -> str:
    """Halves of surrogate pairs that have met become one character; halves alone stay."""
    if text.isprintable():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _json_escape(char: str) -> str:
    if char in "\n\t":
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
