"""XLSX: each sheet a page; rows that stand together are a table, with the values as they are shown."""

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from documents.read.office_parts import RELATIONS, Parts, opened
from documents.read.raw import RawBlock, RawDocument, RawPage, block
from documents.read.tables import markdown_table

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_MAIN = "xl/workbook.xml"
_COLUMN = re.compile(r"[A-Z]+")
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""Built-in formats of dates and times (ECMA-376 part 1, 18.8.30), those of Korean Excel among them."""
_LITERALS = re.compile(r"\"[^\"]*\"|\\.|\[(?!h|m|s)[^\]]*\]")
_DATE_SIGNS = re.compile(r"[yd]|m{3,}|h{1,2}.*m|yy|mm?.*[ds]", re.IGNORECASE)
_PERCENT_FORMATS, _PERCENT_SIGN = frozenset({9, 10}), re.compile("%")
_EPOCH, _EPOCH_1904 = datetime.datetime(1899, 12, 30), datetime.datetime(1904, 1, 1)
Row = dict[int, str]
"""Column, from 0 -> text."""


@dataclass(frozen=True)
class _Book:
    """What the cells of all sheets refer to."""

    strings: list[str]
    date_styles: frozenset[int]
    percent_styles: frozenset[int]
    epoch: datetime.datetime


def read_xlsx(path: Path) -> RawDocument:
    """Raises Unreadable and OSError."""
    with opened(path, _MAIN, "XLSX") as parts:
        book = _book(parts)
        related = parts.related(_MAIN)
        pages = []
        for number, sheet in enumerate(parts.root(_MAIN).iter(f"{_S}sheet"), start=1):
            found = related.get(sheet.get(f"{RELATIONS}id", ""))
            if found is not None and found[0] == "worksheet":
                pages.append(_page(parts, book, number, sheet, found[1]))
        return RawDocument("xlsx", tuple(pages), parts.title())


def _page(parts: Parts, book: _Book, number: int, sheet: Any, name: str) -> RawPage:
    root = parts.root(name)
    hidden_columns = _hidden_columns(root)
    rows: list[Row] = []
    hidden = 0
    for row in root.iter(f"{_S}row"):
        cells = {at: text for at, text in _cells(row, book) if text.strip()}
        out = set(cells) if row.get("hidden") in ("1", "true") else set(cells) & hidden_columns
        hidden += sum(len("".join(cells.pop(at).split())) for at in out)
        rows.append(cells)
    blocks = tuple(_blocks(sheet.get("name", ""), rows))
    if sheet.get("state", "visible") != "visible":
        shown = sum(len("".join(text.split())) for row in rows for text in row.values())
        return RawPage(number, (), hidden + shown)
    return RawPage(number, blocks, hidden)


def _blocks(name: str, rows: list[Row]) -> Iterator[RawBlock]:
    """Rows up to an empty one are a table, without the columns that are empty in it; a row of one cell above
    it is its caption."""
    if name.strip() and any(rows):
        yield block("heading", name.strip(), 1)
    together: list[Row] = []
    for row in [*rows, {}]:
        if row and (len(row) > 1 or len(together) > 0):
            together.append(row)
        elif row:
            yield block("paragraph", next(iter(row.values())))
        if not row and together:
            columns = sorted(set().union(*together))
            yield block("table", markdown_table([[one.get(at, "") for at in columns] for one in together]))
            together = []


def _hidden_columns(root: Any) -> set[int]:
    found: set[int] = set()
    for one in root.iter(f"{_S}col"):
        if one.get("hidden") in ("1", "true"):
            found.update(range(int(one.get("min", 1)) - 1, min(int(one.get("max", 1)), 16384)))
    return found


def _cells(row: Any, book: _Book) -> Iterator[tuple[int, str]]:
    at = -1
    for cell in row.iter(f"{_S}c"):
        named = _COLUMN.match(cell.get("r", ""))
        at = _column(named[0]) if named else at + 1
        yield at, _value(cell, book)


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _value(cell: Any, book: _Book) -> str:
    """As a person sees it, but for the format of plain numbers. Of a formula: what it last gave."""
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _string(cell)
    text = cell.findtext(f"{_S}v") or ""
    if kind == "s":
        return book.strings[int(text)] if text.isdigit() and int(text) < len(book.strings) else ""
    if kind == "b":
        return "TRUE" if text == "1" else "FALSE"
    style = cell.get("s", "")
    if kind != "n":
        return text
    shown_as = int(style) if style.isdigit() else 0
    if shown_as in book.date_styles:
        return _date(text, book.epoch)
    return _percent(text) if shown_as in book.percent_styles else _number(text)


def _number(text: str) -> str:
    """Files keep 17 digits; people mean 15: 0.1 is not 0.10000000000000001."""
    try:
        return f"{float(text):.15g}" if "." in text or "E" in text.upper() else text
    except ValueError:
        return text


def _percent(text: str) -> str:
    try:
        return f"{float(text) * 100:.12g}%"
    except ValueError:
        return text


def _date(text: str, epoch: datetime.datetime) -> str:
    try:
        days = float(text)
        moment = epoch + datetime.timedelta(days=days)
    except (ValueError, OverflowError):
        return text
    if days < 0:  # which Excel shows as ####
        return text
    moment = (moment + datetime.timedelta(milliseconds=500)).replace(microsecond=0)
    if days < 1:
        return moment.strftime("%H:%M:%S").removesuffix(":00")
    if moment.time() == datetime.time():
        return moment.strftime("%Y-%m-%d")
    return moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")


def _book(parts: Parts) -> _Book:
    strings: list[str] = []
    dates: frozenset[int] = frozenset()
    percents: frozenset[int] = frozenset()
    for kind, name in parts.related(_MAIN).values():
        if kind == "sharedStrings" and parts.has(name):
            strings = [_string(one) for one in parts.root(name).iter(f"{_S}si")]
        elif kind == "styles" and parts.has(name):
            dates = _styles(parts.root(name), _DATE_FORMATS, _DATE_SIGNS)
            percents = _styles(parts.root(name), _PERCENT_FORMATS, _PERCENT_SIGN)
    properties = next(parts.root(_MAIN).iter(f"{_S}workbookPr"), None)
    is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
    return _Book(strings, dates, percents, _EPOCH_1904 if is_1904 else _EPOCH)


def _string(element: Any) -> str:
    """Of a string and its runs; how it is pronounced (rPh) is no part of it."""
    parts = element.xpath(".//*[local-name()='t'][not(ancestor::*[local-name()='rPh'])]")
    return "".join(part.text or "" for part in parts)


def _styles(root: Any, built_in: frozenset[int], signs: re.Pattern[str]) -> frozenset[int]:
    """Numbers of the cell styles that have a format of these, or one of the file's own with these signs."""
    own = {
        int(one.get("numFmtId", 0))
        for one in root.iter(f"{_S}numFmt")
        if signs.search(_LITERALS.sub("", one.get("formatCode", "").split(";")[0]))
    }
    cells = next(root.iter(f"{_S}cellXfs"), None)
    formats = [int(one.get("numFmtId", 0)) for one in cells] if cells is not None else []
    return frozenset(at for at, number in enumerate(formats) if number in own or number in built_in)
