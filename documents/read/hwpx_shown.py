"""The sections of an HWPX as Hangul shows them, so that its reader loses nothing of them.

unhwp ends a paragraph where one that stands within it ends, as that of a text box or a footnote, and drops
what follows. So these are put behind it. Heads and feet of pages and hidden comments go, and so does what a
change took out (KS X 6101; https://www.hancom.com/support/downloadCenter/hwpOwpml).
"""

from typing import Any

from lxml import etree

_NOT_SHOWN = ("header", "footer", "hiddenComment")
_NOTES = ("footNote", "endNote")
_BOXES = ("drawText", "caption")
WRITTEN = ("dutmal", "compose", "equation")
"""Elements of a run whose text stands in no `t`."""


def show(section: Any) -> None:
    """Change the root of a section so that its paragraphs hold no others but those of tables."""
    for element in list(_all(section, *_NOT_SHOWN)):
        _remove(element)
    _remove_deleted(section)
    _write_out(section)
    for note in list(_all(section, *_NOTES)):
        section.extend(_paragraphs(note))
        _remove(note)
    for box in reversed(list(_all(section, *_BOXES))):
        _lift(box)


def _lift(box: Any) -> None:
    """The paragraphs of a box stand behind the one that holds it, the caption of a table before it."""
    holder = next(box.iterancestors("{*}p"), None)
    if holder is None:
        return
    if _name(box.getparent()) == "tbl":
        for paragraph in _paragraphs(box):
            holder.addprevious(paragraph)
    else:
        for paragraph in reversed(_paragraphs(box)):
            holder.addnext(paragraph)
    _remove(box)


def _remove_deleted(section: Any) -> None:
    """Deletions that are noted begin in one text and may end in another."""
    deleted: set[str | None] = set()
    for text in _all(section, "t"):
        if deleted:
            text.text = None
        for sign in text:
            name = _name(sign)
            if name == "deleteBegin":
                deleted.add(sign.get("Id"))
            elif name == "deleteEnd":
                deleted.discard(sign.get("Id"))
            if deleted:
                sign.tail = None


def _write_out(section: Any) -> None:
    """Text with a reading above it, signs that were put together and equations, which Hangul keeps as it lets
    people write them (a over b), become plain text."""
    for element in list(_all(section, *WRITTEN)):
        shown = written(element)
        plain = etree.Element(f"{{{etree.QName(element).namespace}}}t")
        plain.text = shown
        element.getparent().replace(element, plain)


def written(element: Any) -> str:
    """The text of one of `WRITTEN`."""
    if script := element.findtext("{*}script"):
        return f" {' '.join(script.split())} "
    return element.get("composeText") or element.findtext("{*}mainText") or ""


def _paragraphs(holder: Any) -> list[Any]:
    return list(holder.iterfind("{*}subList/{*}p"))


def _remove(element: Any) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _all(root: Any, *names: str) -> Any:
    return root.iter(*(f"{{*}}{name}" for name in names))


def _name(element: Any) -> str:
    return str(etree.QName(element).localname)
