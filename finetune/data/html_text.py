"""HTML to readable text: lines for blocks, `- ` for list items, `| a | b |` for table rows."""

import re

_SKIPPED = frozenset({"script", "style", "head", "noscript", "template", "svg", "-comment"})
_BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div", "dl", "dt"),
        *(
            "fieldset",
            "figcaption",
            "figure",
            "footer",
            "form",
            "header",
            "hr",
            "li",
            "main",
            "nav",
            "ol",
            "p",
        ),
        *("pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul"),
    }
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CELLS = frozenset({"td", "th"})

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

    root = LexborHTMLParser(html).body
    if root is None:
        return ""
    parts: list[str] = []
    cells = 0
    numbers: list[int | None] = []
    stack = [(root, False)]
    while stack:
        node, leaving = stack.pop()
        tag = node.tag
        if tag == "-text":
            text = _SPACE.sub(" ", node.text_content or "")
            if text != " " or (parts and not parts[-1].endswith(("\n", " "))):
                parts.append(text)
            continue
        if tag in _SKIPPED:
            continue
        if not leaving:
            stack.append((node, True))
            children = []
            child = node.child
            while child is not None:
                children.append((child, False))
                child = child.next
            stack.extend(reversed(children))
        if tag == "br" and not leaving:
            parts.append(" " if cells else "\n")
        elif tag in _CELLS:
            cells += -1 if leaving else 1
            if leaving:
                parts.append(" | ")
        elif tag in _BLOCKS or tag in _HEADINGS or tag == "tr":
            if cells:
                parts.append(" ")
            elif not (parts and parts[-1].endswith("\n")):
                parts.append("\n")
            if not leaving and not cells:
                parts.append("| " if tag == "tr" else "\n" if tag in _HEADINGS else "")
        if tag in ("ol", "ul"):
            if leaving:
                numbers.pop()
            else:
                numbers.append(1 if tag == "ol" else None)
        elif tag == "li" and not leaving:
            number = numbers[-1] if numbers else None
            parts.append("- " if number is None else f"{number}. ")
            if number is not None:
                numbers[-1] = number + 1
    text = "".join(parts)
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return text.strip()
