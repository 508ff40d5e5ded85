"""Equations as a line of text: of Word and PowerPoint (OMML, ECMA-376 part 1, 22.1) and of HTML (MathML).

The form is the linear one in which Word lets people type them: a/b, x^2, √(a+b).
"""

from typing import Any

from lxml import etree

_QUOTIENT, _UPPER, _LOWER, _BOTH = "{}/{}", "{}^{}", "{}_{}", "{}_{}^{}"
_FORMS = {
    **dict.fromkeys(("f", "mfrac"), _QUOTIENT),
    **dict.fromkeys(("sSup", "limUpp", "msup", "mover"), _UPPER),
    **dict.fromkeys(("sSub", "limLow", "msub", "munder"), _LOWER),
    **dict.fromkeys(("sSubSup", "msubsup", "munderover"), _BOTH),
}
"""Of elements whose parts stand in this order in both."""
_APART = frozenset({"e", "mr", "mtr", "mtd"})
"""Elements of matrices and lists that would run into each other."""
_NO_TEXT = frozenset({"annotation", "annotation-xml"})


def linear_equation(equation: Any) -> str:
    """The text of an element such as `m:oMath` or `math`."""
    return " ".join(_text(equation).split())


def _text(element: Any) -> str:
    name = _name(element)
    if name in _NO_TEXT:
        return ""
    if name in ("t", "mi", "mo", "mn", "mtext", "ms"):
        return "".join(element.itertext())
    parts = [one for one in element if isinstance(one.tag, str) and not _name(one).endswith("Pr")]
    texts = [_text(one) for one in parts]
    form = _FORMS.get(name, "")
    if form and form.count("{}") == len(texts):
        return form.format(*map(_grouped, texts))
    if name in ("rad", "mroot", "msqrt"):
        return _root(name, texts)
    if name == "nary":
        return _long_operator(element, texts)
    if name == "d":
        return _value(element, "begChr", "(") + ", ".join(texts) + _value(element, "endChr", ")")
    return (" " if any(_name(one) in _APART for one in parts) else "").join(texts)


def _root(name: str, texts: list[str]) -> str:
    if name == "msqrt":
        return "√" + _grouped("".join(texts))
    degree, radicand = (texts if name == "rad" else texts[::-1]) if len(texts) == 2 else ("", "".join(texts))
    return (f"√({degree}&{radicand})") if degree.strip() else "√" + _grouped(radicand)


def _long_operator(element: Any, texts: list[str]) -> str:
    """A sum or an integral: its bounds, then what it is over."""
    sign = _value(element, "chr", "∫")
    if len(texts) != 3:
        return sign + " ".join(texts)
    lower, upper, inner = texts
    bounds = (f"_{_grouped(lower)}" if lower else "") + (f"^{_grouped(upper)}" if upper else "")
    return f"{sign}{bounds} {inner}"


def _value(element: Any, property_name: str, default: str) -> str:
    """The character that a property names."""
    for one in element.iterfind(f"{{*}}{_name(element)}Pr/{{*}}{property_name}"):
        return next((str(value) for key, value in one.items() if key.endswith("val")), default)
    return default


def _grouped(text: str) -> str:
    """In brackets where it is more than one number or name."""
    text = text.strip()
    return text if len(text) <= 1 or text.isalnum() else f"({text})"


def _name(element: Any) -> str:
    return str(etree.QName(element).localname) if isinstance(element.tag, str) else ""
