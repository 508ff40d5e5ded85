"""HTML to readable text: lines for blocks, `- ` for list items, `| a | b |` for table rows."""

import re
from html import unescape

_SKIPPED = ["script", "style", "head", "noscript", "template", "svg"]
_LINES = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *(
            "hr",
            "li",
            "main",
            "nav",
            "ol",
            "p",
            "pre",
            "section",
            "table",
            "tbody",
            "tfoot",
            "thead",
            "tr",
            "ul",
        ),
    }
)
_REST_OF_TAG = r'(?![\w-])[^>"]*(?:"[^"]*"[^>"]*)*>'
_KNOWN = "|".join(sorted({*_LINES, "br", "td", "th"}, key=len, reverse=True))
_INLINE = re.compile(rf'<!--.*?-->|</?(?!(?:{_KNOWN})(?![\w-]))[a-z!][^>"]*(?:"[^"]*"[^>"]*)*>', re.DOTALL)
_KNOWN_TAG = re.compile(rf"<(/?)({_KNOWN}){_REST_OF_TAG}")

_SPACE = re.compile(r"\s+")
_TIDY = (
    (re.compile(r"\[편집\]"), ""),
    (re.compile(r"[ \t\xa0\u200b]+"), " "),
    (re.compile(r" ?\n ?"), "\n"),
    (re.compile(r"^(?:\| ?)+$", re.MULTILINE), ""),
    (re.compile(r"\n{3,}"), "\n\n"),
)
"""Wikipedia's edit links, runs of space, table rows of empty cells, more than one empty line."""


def html_text(html: str) -> str:
    """The readable text of `html`. Broken mark-up is read as browsers do; scripts and styles are left out.

    Characters of the text keep their order, and none is added within a text node, so that marks put into the
    HTML can be found in the result.
    """
    from selectolax.lexbor import LexborHTMLParser  # a parser in C; only KorQuAD 2 needs it

    tree = LexborHTMLParser(html)
    if tree.body is None:
        return ""
    tree.strip_tags(_SKIPPED)
    # The parser puts the tags in order; going over its text again is three times as fast as over its nodes.
    pieces = _KNOWN_TAG.split(_INLINE.sub("", tree.body.html or ""))
    written = _TextSoFar(pieces[0])
    for closing, tag, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if tag in _LINES:
            written.block(tag, bool(closing))
        else:
            written.inline(tag, bool(closing))
        written.text(text)
    text = unescape("".join(written.parts))
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return text.strip()


class _TextSoFar:
    """The text so far, in pieces, and the cells and lists that are open."""

    def __init__(self, text: str) -> None:
        self.parts = [_SPACE.sub(" ", text)]
        self._cells = 0
        self._numbers: list[int | None] = []
        """Of each open list the number of its next item; None for one without numbers."""

    def text(self, text: str) -> None:
        if text and (not text.isspace() or not self.parts[-1].endswith(("\n", " "))):
            self.parts.append(_SPACE.sub(" ", text))

    def block(self, tag: str, closing: bool) -> None:
        """The tag of a block: it begins a line, but in a cell, whose text stays on one."""
        if self._cells:
            self.parts.append(" ")
        elif not self.parts[-1].endswith("\n"):
            self.parts.append("\n")
        if tag == "li" and not closing:
            self._item()
        elif tag in ("ol", "ul"):
            if not closing:
                self._numbers.append(1 if tag == "ol" else None)
            elif self._numbers:
                self._numbers.pop()
        elif not closing and not self._cells:
            if tag == "tr":
                self.parts.append("| ")
            elif tag[0] == "h" and tag[1].isdigit():
                self.parts.append("\n")

    def _item(self) -> None:
        number = self._numbers[-1] if self._numbers else None
        self.parts.append("- " if number is None else f"{number}. ")
        if number is not None:
            self._numbers[-1] = number + 1

    def inline(self, tag: str, closing: bool) -> None:
        """`br`, or the begin or end of a cell."""
        if tag == "br":
            self.parts.append(" " if self._cells else "\n")
        elif closing:
            self._cells -= 1
            self.parts.append(" | ")
        else:
            self._cells += 1
