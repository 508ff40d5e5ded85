"""HTML: headings, paragraphs, lists, tables and code of a page; scripts and what is hidden are left out.

Only attributes tell here what is hidden: style sheets are not applied.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree, html

from documents.read.decode import decode_text
from documents.read.equations import linear_equation
from documents.read.raw import RawBlock, RawDocument, RawPage, Unreadable, block
from documents.read.tables import markdown_table

_SKIPPED = frozenset({"script", "style", "head", "noscript", "template", "svg", "iframe", "object", "nav"})
_INLINE = frozenset(
    {
        *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "img"),
        *("ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike"),
        *("strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    }
)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0+)?\s*(?:;|$)"
    r"|font-size\s*:\s*[01](?:\.\d+)?\s*(?:px|pt|;|$)"
)
_WHITE = re.compile(r"(?<![\w-])color\s*:\s*(?:#fff(?:fff)?\b|white\b|rgb\(\s*255\s*,\s*255\s*,\s*255\s*\))")
_SPACE = re.compile(r"[^\S\n]*\n?[^\S\n]*")
_META = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_KOREAN = {b"euc-kr", b"ks_c_5601-1987", b"ksc5601", b"cp949", b"windows-949", b"ms949"}


def read_html(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    text = _decoded(path.read_bytes())
    # As bytes: lxml refuses text that names an encoding of its own.
    # `huge_tree`: without it libxml2 gives up behind 10 MB; this process has limits of its own.
    parser = html.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    try:
        root = html.document_fromstring(text.encode(), parser=parser)
    except etree.ParserError as error:
        raise Unreadable("it holds no text") from error
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise Unreadable("its elements stand too deep within each other")  # the rest would be missing
    title = root.findtext(".//title") or ""
    reading = _ElementReading()
    reading.element(root, shaded=False)
    reading.flush()
    return RawDocument(
        "html", (RawPage(None, tuple(reading.blocks), reading.hidden),), " ".join(title.split())
    )


def _decoded(content: bytes) -> str:
    named = _META.search(content[:2048])
    if named and named[1].lower() in _KOREAN:
        try:
            return content.decode()  # pages are saved in UTF-8 and keep what they said of themselves
        except UnicodeDecodeError:
            return content.decode("cp949", errors="replace")
    return decode_text(content)


class _ElementReading:
    """Goes over the elements once and gathers blocks."""

    def __init__(self) -> None:
        self.blocks: list[RawBlock] = []
        self.hidden = 0
        self._inline: list[str] = []

    def element(self, node: html.HtmlElement, shaded: bool) -> None:
        """Take the element and what is in it; `shaded`: an element around it has a background."""
        if not isinstance(node.tag, str) or node.tag in _SKIPPED:
            return
        style = (node.get("style") or "").lower()
        shaded = shaded or "background" in style or node.get("bgcolor") is not None
        if node.get("hidden") is not None or _HIDING.search(style) or (_WHITE.search(style) and not shaded):
            self.hidden += len("".join("".join(node.itertext()).split()))
        elif node.tag == "br":
            self._inline.append("\n")
        elif node.tag == "math":
            self._inline.append(f" {linear_equation(node)} ")
        elif node.tag == "table" and not node.findall(".//table"):
            self._whole("table", markdown_table(list(self._rows(node, shaded))))
        elif node.tag == "pre":
            self._whole("code", "".join(node.itertext()).strip("\n"))
        elif node.tag in _INLINE:
            self._children(node, shaded)
        else:
            self.flush()
            if node.tag == "li":
                self._inline.append("- ")
            self._children(node, shaded)
            level = int(node.tag[1]) if re.fullmatch("h[1-6]", node.tag) else 0
            self.flush(level)

    def flush(self, level: int = 0) -> None:
        """End the paragraph, or with a level the heading, that is being gathered."""
        text = _tidy("".join(self._inline))
        self._inline = []
        if text.strip("- \n"):
            self.blocks.append(block("heading" if level else "paragraph", text, level))

    def _whole(self, kind: str, text: str) -> None:
        self.flush()
        if text.strip():
            self.blocks.append(block("table" if kind == "table" else "code", text))

    def _children(self, node: html.HtmlElement, shaded: bool) -> None:
        self._inline.append(_one_line(node.text))
        for child in node:
            self.element(child, shaded)
            self._inline.append(_one_line(child.tail))

    def _rows(self, table: html.HtmlElement, shaded: bool) -> Iterator[list[str]]:
        """The cells' texts; a cell over several rows stands in each of them."""
        from_above: dict[int, tuple[int, str]] = {}
        for row in table.iter("tr"):
            cells: list[str] = []
            for cell in row.iter("td", "th"):
                _fill(cells, from_above)
                text = self._cell(cell, shaded)
                for column in range(_span(cell, "colspan")):
                    from_above[len(cells)] = (_span(cell, "rowspan") - 1, "" if column else text)
                    cells.append("" if column else text)
            _fill(cells, from_above)
            yield cells

    def _cell(self, cell: html.HtmlElement, shaded: bool) -> str:
        inner = _ElementReading()
        inner.element(cell, shaded or any(row.get("style") for row in cell.iterancestors("tr")))
        inner.flush()
        self.hidden += inner.hidden
        return " ".join(line.text for part in inner.blocks for line in part.lines)


def _fill(cells: list[str], from_above: dict[int, tuple[int, str]]) -> None:
    """Put the cells of rows above that reach into this one."""
    while (held := from_above.get(len(cells))) and held[0] > 0:
        from_above[len(cells)] = (held[0] - 1, held[1])
        cells.append(held[1])


def _span(cell: html.HtmlElement, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(max(int(value), 1), 100) if value.isdecimal() else 1


def _one_line(text: str | None) -> str:
    """Line breaks of the source are spaces; those of `<br>` are put in afterwards."""
    return re.sub(r"\s+", " ", text or "")


def _tidy(text: str) -> str:
    return _SPACE.sub(lambda found: "\n" if "\n" in found[0] else found[0][:1], text).strip()
