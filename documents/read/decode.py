"""Bytes of a text file to text: UTF-8, UTF-16 and CP949, the encoding of Korean Windows."""

import codecs

from documents.read.raw import Unreadable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # has to be tried before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(content: bytes) -> str:
    """The text, with `\\n` at the ends of lines. Raises Unreadable."""
    for encoding in _candidates(content):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise Unreadable("it is no text in UTF-8, UTF-16 or CP949", "Save it as UTF-8.")


def _candidates(content: bytes) -> tuple[str, ...]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return (encoding,)
    # Spaces and line ends are NUL with another byte in UTF-16, and no other text holds NUL.
    if b"\0" in content and len(content) % 2 == 0:
        high_first = content[::2].count(0) > content[1::2].count(0)
        return ("utf-16-be" if high_first else "utf-16-le",)
    return ("utf-8", "cp949")
