"""A file of prompts, CSV or JSON Lines, as Korean spreadsheets and our own data commands write them."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from webui.conversation import QUESTION_CHARACTERS
from webui.study.plan import StudyPrompt
from webui.text_decoding import decoded

FILE_BYTES = 8 * 1024 * 1024
MOST_PROMPTS = 5000
MOST_BAD = 1000
"""After so many lines that make no prompt, or so many prompts, the rest is not read: it would take half a
minute for a file of the greatest size."""
CATEGORY_CHARACTERS = 50
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": (
        "instruction",
        "question",
        "prompt",
        "query",
        "질문",
        "문제",
        "지시",
        "지시문",
        "명령",
        "프롬프트",
    ),
    "context": ("context", "passage", "document", "맥락", "문맥", "지문", "본문", "문서", "참고"),
    "category": ("category", "type", "분류", "유형", "범주", "카테고리"),
}
"""The usual names of columns, in small letters; earlier ones win."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """Why a line makes no prompt."""

    line: int
    """From 1 on; 0 for the file as a whole."""
    reason: str
    """The name of a sentence (`webui.study.texts`)."""


@dataclass(frozen=True, slots=True)
class PromptsFile:
    """What a file holds."""

    prompts: tuple[StudyPrompt, ...]
    bad: tuple[BadRow, ...]


def read_prompts(content: bytes) -> PromptsFile:
    """The prompts of a file, and each line that makes none. UTF-8, UTF-16 or CP949."""
    text = decoded(content)
    if text is None or "\x00" in text:
        return PromptsFile((), (BadRow(0, "not_text"),))
    lines = _records(text) if text.lstrip().startswith("{") else _table(text)
    prompts: list[StudyPrompt] = []
    bad: list[BadRow] = []
    seen: set[str] = set()
    for line, found in lines:
        row = found if isinstance(found, str) else _prompt(found)
        if isinstance(row, StudyPrompt) and row.message in seen:
            row = "twice"
        if isinstance(row, str):
            bad.append(BadRow(line, row))
            if len(bad) == MOST_BAD:
                bad.insert(0, BadRow(0, "too_many_bad"))
                break
            continue
        seen.add(row.message)
        prompts.append(row)
        if len(prompts) > MOST_PROMPTS:
            break
    if not prompts and not bad:
        bad.append(BadRow(0, "empty"))
    if len(prompts) > MOST_PROMPTS:
        bad.append(BadRow(0, "too_many"))
    return PromptsFile(tuple(prompts), tuple(bad))


def _records(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    # Not splitlines(): a record may hold U+2028, which is no end of a line in JSON.
    for line, words in enumerate(text.split("\n"), 1):
        if not words.strip():
            continue
        try:
            record = json.loads(words)
        except (ValueError, RecursionError):
            record = None
        yield line, record if isinstance(record, dict) else "not_json"


def _table(text: str) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    first = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    head: list[str] | None = None
    try:
        while True:
            begins = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                return
            if not any(cell.strip() for cell in cells):
                continue
            if head is None:
                head = cells
                if _column(dict.fromkeys(head, ""), "question") is None:
                    yield begins, "no_question_column"
                    return
            elif len(cells) > len(head):
                yield begins, "too_many_cells"
            else:
                yield begins, dict(zip(head, cells, strict=False))
    except csv.Error as error:
        yield reader.line_num, "cell_too_long" if "field limit" in str(error) else "not_csv"


def _prompt(record: Mapping[str, object]) -> StudyPrompt | str:
    """The prompt of a record, or why there is none."""
    cells: dict[str, str] = {}
    for name in COLUMNS:
        column = _column(record, name)
        value = record[column] if column is not None else None
        if value is not None and not (isinstance(value, str) and _can_be_kept(value)):
            return "not_words"
        cells[name] = (value or "").strip()
    if not cells["question"]:
        return "no_question"
    prompt = StudyPrompt(cells["question"], cells["context"], cells["category"] or None)
    if len(prompt.message) > QUESTION_CHARACTERS:
        return "too_long"
    if len(cells["category"]) > CATEGORY_CHARACTERS:
        return "category_too_long"
    return prompt


def _can_be_kept(words: str) -> bool:
    """Databases take neither half a surrogate pair nor, PostgreSQL, U+0000; JSON can write both."""
    return "\x00" not in words and not any("\ud800" <= character <= "\udfff" for character in words)


def _column(record: Mapping[str, object], name: str) -> str | None:
    folded: dict[str, str] = {}
    for column in record:
        folded.setdefault(column.strip().casefold(), column)
    return next((folded[known] for known in COLUMNS[name] if known in folded), None)
