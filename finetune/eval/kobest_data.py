"""KoBEST's published tables (TSV) in the form that lm-eval's `kobest_*` tasks read from the hub.

The tables write labels in mixed case (`TRUE`, `True`), COPA's as 1 and 2, and quotation marks as plain text.
Columns: https://github.com/SKT-LSL/KoBEST_datarepo. The data: Jang et al. 2022, arXiv 2204.04541.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.errors import UserError

KobestTask = Literal["boolq", "copa", "hellaswag", "sentineg", "wic"]
TASKS: tuple[KobestTask, ...] = ("boolq", "copa", "hellaswag", "sentineg", "wic")
SPLIT_FILES = {
    "train": ("train.tsv",),
    "test": ("test.tsv", "test_labeled.tsv"),
    "dev": ("dev.tsv", "dev_labeled.tsv"),
}
_FALSE_TRUE = {"false": 0, "true": 1, "0": 0, "1": 1}
_ONE_TWO = {"1": 0, "2": 1}
_FOUR = {str(n): n for n in range(4)}


@dataclass(frozen=True)
class _Layout:
    """How a task's table is laid out: the column (lower case) of each field, and the meaning of its
    labels."""

    fields: Mapping[str, str]
    label: str
    labels: Mapping[str, int]


_LAYOUTS: dict[KobestTask, _Layout] = {
    "boolq": _Layout({"paragraph": "text", "question": "question"}, "answer", _FALSE_TRUE),
    "copa": _Layout(
        {"premise": "sentence", "question": "question", "alternative_1": "1", "alternative_2": "2"},
        "answer",
        _ONE_TWO,
    ),
    "hellaswag": _Layout(
        {"context": "context", **{f"ending_{n}": f"choice{n}" for n in range(1, 5)}}, "label", _FOUR
    ),
    "sentineg": _Layout({"sentence": "text"}, "label", _FALSE_TRUE),
    "wic": _Layout(
        {"word": "target", "context_1": "sentence1", "context_2": "sentence2"}, "answer", _FALSE_TRUE
    ),
}


@dataclass(frozen=True)
class Tables:
    """The files of one task."""

    task: KobestTask
    split: str
    """The split that is asked: `test` or `dev`."""
    questions: Path
    examples: Path | None
    """The train table, from which few-shot examples are drawn; None where there is none."""


def find_tables(root: Path, task: KobestTask, split: str | None = None) -> Tables:
    """Find the tables of `task` in `root`/BoolQ, COPA, HellaSwag, SentiNeg or WiC (in any case).

    `split` is `test` or `dev`; by default `test` where there is such a table. Raises UserError.
    """
    folders = [path for path in _listed(root) if path.is_dir() and _plain(path.name) == task]
    if not folders:
        raise UserError(
            f"{root} holds no folder for KoBEST's {task}.",
            hint="It must hold BoolQ, COPA, HellaSwag, SentiNeg and WiC with dev.tsv or test.tsv in each.",
        )
    files = {path.name.lower(): path for path in _listed(folders[0])}

    def of(name: str) -> Path | None:
        return next((files[file] for file in SPLIT_FILES[name] if file in files), None)

    for wanted in (split,) if split else ("test", "dev"):
        if found := of(wanted):
            return Tables(task, wanted, found, of("train"))
    raise UserError(f"{folders[0]} holds no {split or 'test or dev'} table (.tsv).")


def read_table(path: Path, task: KobestTask) -> list[dict[str, object]]:
    """The table's items in the fields that lm-eval's task reads. Raises UserError with file, line and
    reason."""
    layout = _LAYOUTS[task]
    items = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            columns = [name.strip().lower() for name in next(lines, [])]
            if missing := ({*layout.fields.values(), layout.label} - set(columns)):
                raise UserError(f"{path} is no table of KoBEST's {task}: no column {sorted(missing)[0]!r}.")
            for cells in lines:
                if any(cell.strip() for cell in cells):
                    items.append(_item(dict(zip(columns, cells, strict=False)), layout, path, lines.line_num))
    except OSError as error:
        raise UserError(f"The table {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"The table {path} is not tab-separated UTF-8 text: {error}.") from error
    if not items:
        raise UserError(f"The table {path} holds no items.")
    return items


def write_jsonl(items: list[dict[str, object]], path: Path) -> Path:
    """Write one item on each line; returns `path`."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    return path


def _item(cells: dict[str, str], layout: _Layout, path: Path, line: int) -> dict[str, object]:
    label = layout.labels.get(cells.get(layout.label, "").strip().lower())
    if label is None:
        known = ", ".join(layout.labels)
        raise UserError(
            f"{path}, line {line}: the label {cells.get(layout.label, '')!r} is none of {known}.",
            hint="The test tables without labels cannot be scored.",
        )
    item: dict[str, object] = {field: cells[column].strip() for field, column in layout.fields.items()}
    if empty := [field for field, text in item.items() if not text]:
        raise UserError(f"{path}, line {line}: {empty[0]} is empty.")
    if item.get("question") not in ("원인", "결과") and "premise" in item:
        raise UserError(f"{path}, line {line}: question is {item['question']!r}, neither 원인 nor 결과.")
    return item | {"label": label}


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"The directory {folder} cannot be read: {error.strerror}.") from error


def _plain(name: str) -> str:
    return name.lower().removeprefix("kb-").removeprefix("kb_").replace("-", "").replace("_", "")
