"""Unethical answers in rows, found by a moderation model."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune.files.line_chunks import BOM
from finetune.files.unreadable import unreadable
from finetune.progress import Progress, Report, finished
from finetune.rows.fast_row import JsonRow, UnusableLine, parse_row
from moderation.classes import CLASSES
from moderation.model import Verdict

SHOWN = 20
"""Places that are named; the report counts them all."""


@dataclass
class EthicsFindings:
    """What was found in the answers of rows."""

    rows: int = 0
    """Rows that could be read; lines that are none are told by the check of rows itself."""
    unethical: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)
    """`file:line CLASS score`, the first of them."""

    def lines(self) -> list[str]:
        """For the terminal; the answers themselves are not shown."""
        share = self.unethical / self.rows if self.rows else 0.0
        shown = [f"{self.unethical:,} of {self.rows:,} rows have unethical answers ({share:.1%})."]
        shown += [f"  {count:>9,}  {name}" for name, count in self.classes.most_common()]
        shown += [f"  {place}" for place in self.places]
        if self.unethical > len(self.places):
            shown.append(f"  and {self.unethical - len(self.places):,} more rows")
        return shown


def unethical_answers(
    paths: Sequence[Path], judge: Callable[[str], Verdict], report: Report
) -> EthicsFindings:
    """Judge what the assistant says in each row of the files. Raises UserError."""
    found = EthicsFindings()
    for path in paths:
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    _judge_line(found, f"{path}:{number}", line.removeprefix(BOM), judge)
                    if number % 200 == 0:
                        report(Progress("looking for unethical answers", file.tell() / size, path.name))
        except OSError as error:
            raise unreadable(path, error, "The row file") from error
    report(finished("looking for unethical answers", f"{found.rows:,} rows"))
    return found


def _judge_line(found: EthicsFindings, place: str, line: bytes, judge: Callable[[str], Verdict]) -> None:
    try:
        row = parse_row(line)
    except UnusableLine:
        return
    if not isinstance(row, JsonRow):
        return  # of a pair it is not said which answer is to be learnt
    found.rows += 1
    said = [turn.content for turn in (*row.history, *row.steps) if turn.role == "assistant" and turn.weight]
    verdict = judge("\n".join([*said, row.response]))
    if not verdict.flagged:
        return
    names = [name for name, level in zip(CLASSES, verdict.levels, strict=True) if level is not None]
    found.unethical += 1
    found.classes.update(names)
    if len(found.places) < SHOWN:
        found.places.append(f"{place} {', '.join(names)} {max(verdict.scores):.2f}")
