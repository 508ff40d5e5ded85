"""Tables as CSV that spreadsheets open without running anything in them."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets read Hangul in the code page of the machine."""
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n", "\0")
"""A cell that begins so may be a formula to a spreadsheet (OWASP, CSV injection; ASVS 1.2.10); the full-width
signs where the spreadsheet's language is an East Asian one."""


def csv_text(rows: Iterable[Sequence[Any]], *, begins: bool = True) -> str:
    """For spreadsheets: no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return (BYTE_ORDER_MARK if begins else "") + out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return value
