"""The body of a DOCX as Word shows it: text of changes, controls and text boxes among the other paragraphs.

Word wraps runs and paragraphs in elements that python-docx passes over. Here these are taken off, and what is
not shown goes: what a change took out, and the second way to draw a shape.
ECMA-376 part 1, 17.13.5 (changes), 17.5.2 (controls), 17.3.3.25 (ruby); part 3, 10.2 (alternate content).
"""

import copy
from typing import Any

from lxml import etree

from documents.read.equations import linear_equation

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_NOT_SHOWN = (f"{_W}del", f"{_W}moveFrom", f"{_W}rt", f"{_W}sdtPr", f"{_W}sdtEndPr", f"{_MC}Fallback")
_WRAPPING = (
    *(f"{_W}ins", f"{_W}moveTo", f"{_W}smartTag", f"{_W}customXml", f"{_W}fldSimple"),
    *(f"{_W}sdt", f"{_W}sdtContent", f"{_MC}AlternateContent", f"{_MC}Choice", f"{_W}ruby", f"{_W}rubyBase"),
)
_BOX = f"{_W}txbxContent"
_PARAGRAPH, _RUN = f"{_W}p", f"{_W}r"
_EQUATION = "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath"
_HIDING = ("vanish", "color", "sz")


def show(root: Any) -> None:
    """Change the element so that its paragraphs and runs are those that Word shows."""
    for element in list(root.iter(*_NOT_SHOWN)):
        _remove(element)
    for element in list(root.iter(*_WRAPPING)):
        _unwrap(element)
    for equation in list(root.iter(_EQUATION)):
        _write_out(equation)
    for run in reversed(list(root.iter(_RUN))):
        _split(run)
    for box in reversed(list(root.iter(_BOX))):
        _lift(box)


def _remove(element: Any) -> None:
    """With its text, not with what stands behind it."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _unwrap(element: Any) -> None:
    """Its children take its place."""
    parent = element.getparent()
    if parent is None:
        return
    at = parent.index(element)
    parent[at : at + 1] = list(element)


def _write_out(equation: Any) -> None:
    """An equation becomes a run. What hides a part of it hides it all."""
    parent = equation.getparent()
    if parent is None:
        return
    looks = list(equation.iter(f"{_W}rPr"))
    run = etree.SubElement(parent, _RUN)
    if looks:
        most = max(looks, key=lambda one: [one.find(f"{_W}{name}") is not None for name in _HIDING])
        run.append(copy.deepcopy(most))
    etree.SubElement(run, f"{_W}t").text = f" {linear_equation(equation)} "
    # An equation on a line of its own stands in one more element.
    place = parent if parent.tag == f"{_EQUATION}Para" else equation
    place.addprevious(run)
    equation.getparent().remove(equation)


def _split(run: Any) -> None:
    """Runs within a run, as those of a ruby's base, stand behind it."""
    for inner in reversed(run.findall(_RUN)):
        run.addnext(inner)


def _lift(box: Any) -> None:
    """Paragraphs and tables of a text box stand behind the paragraph that holds it."""
    holder = next(box.iterancestors(_PARAGRAPH), None)
    if holder is not None:
        for inner in reversed(list(box)):
            holder.addnext(inner)
