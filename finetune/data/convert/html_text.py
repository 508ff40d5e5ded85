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
    parts: list[str] = [_SPACE.sub(" ", pieces[0])]
    cells = 0
    numbers: list[int | None] = []
    for closing, tag, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        if tag in _LINES:
            if cells:
                parts.append(" ")
            elif not parts[-1].endswith("\n"):
                parts.append("\n")
            if tag == "li" and not closing:
                number = numbers[-1] if numbers else None
                parts.append("- " if number is None else f"{number}. ")
                if number is not None:
                    numbers[-1] = number + 1
            elif tag in ("ol", "ul"):
                if not closing:
                    numbers.append(1 if tag == "ol" else None)
                elif numbers:
                    numbers.pop()
            elif not closing and not cells:
                if tag == "tr":
                    parts.append("| ")
                elif tag[0] == "h" and tag[1].isdigit():
                    parts.append("\n")
        elif tag == "br":
            parts.append(" " if cells else "\n")
        elif closing:
            cells -= 1
            parts.append(" | ")
        else:
            cells += 1
        if text and (not text.isspace() or not parts[-1].endswith(("\n", " "))):
            parts.append(_SPACE.sub(" ", text))
    text = unescape("".join(parts))
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return text.strip()
