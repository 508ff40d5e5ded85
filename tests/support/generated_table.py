"""A table of a documentation page that a matrix of tests writes, line by line."""

from collections.abc import Sequence
from pathlib import Path


def write_line(
    page: Path, marks: tuple[str, str], head: Sequence[str], line: str, order: Sequence[str]
) -> None:
    """Put `line` into the table between `marks`; other lines stay.

    `order` has how each line begins, up to a cell's end: a line that begins with none of these goes.
    """
    begin, end = marks
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    table, _, after = rest.partition(end)
    lines = [line, *table.splitlines()[3:]]
    rows = [next((one for one in lines if one.startswith(f"{start} |")), None) for start in order]
    table_head = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    kept = [row for row in rows if row is not None]
    page.write_text(before + "\n".join([begin, *table_head, *kept, end]) + after, encoding="utf-8")
