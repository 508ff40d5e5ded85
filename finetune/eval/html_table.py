"""HTML tables made from text that may hold anything: every cell is escaped."""

import html
from collections.abc import Iterable, Sequence


def html_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose heading and cells are plain text."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heading)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
