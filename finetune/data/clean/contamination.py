"""Rows that hold an item of an evaluation set: a model trained on them has seen the exam.

Files: KoBEST's five tables (TSV), KorQuAD 1.0 and 2.x (JSON), Dolly rows (JSONL), plain text (one item on
each line). Compared are letters and digits alone. An item of which one text has 32 or more counts as found
when a stretch of 47 of them stands in a row (or the whole text, where it is shorter); an item of short texts
when all of them do. The shorter an item, the more by itself it must stand, so that a phrase that everybody
says
is no alarm:

    10 letters or more  anywhere
    7 to 9              from the beginning of a word
    4 to 6              alone between punctuation, quotes or line ends, in a field that says more than that
    fewer               is not looked for, and counted
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import UserError
from finetune.data.clean.letters import Codes, Hashes, Offsets, letter_codes, window_hashes, within_texts
from finetune.rows.fast_row import UnusableLine, parse_row

WINDOW = 32
STRIDE = 16
"""Every 16th stretch of an item is kept: a row that shares 47 letters with it holds one of them."""
PROBE, STUB = 8, 4
"""Short texts are looked for by their first 8 letters, shorter ones by 4, then compared in full."""
ANYWHERE, AT_A_WORD = 10, 7
"""Letters from which an item of short texts may stand anywhere, and at the beginning of any word."""
FIELD_END = "\x1e"
"""What separates the fields of a row in the texts that are searched."""
_TABLE_BITS = 22

KOBEST: Mapping[frozenset[str], tuple[str, ...]] = {
    frozenset({"text", "question", "answer"}): ("text", "question"),
    frozenset({"sentence", "question", "1", "2", "answer"}): ("sentence", "1", "2"),
    frozenset({"context", "choice1", "choice2", "choice3", "choice4", "label"}): ("context",),
    frozenset({"label", "text"}): ("text",),
    frozenset({"target", "sentence1", "sentence2", "answer"}): ("sentence1", "sentence2"),
}
"""Columns a KoBEST table has -> those that make an item: BoolQ, COPA, HellaSwag, SentiNeg, WiC."""


@dataclass(frozen=True)
class EvaluationItem:
    """One question of an evaluation set."""

    name: str
    """`dev.tsv, line 17`."""
    texts: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationIndex:
    """What rows are compared with. It is made once and handed to every process."""

    names: tuple[str, ...]
    """The names of all items."""
    windows: Hashes
    """Sorted; of items with a long text."""
    window_items: npt.NDArray[np.int32]
    probes: Hashes
    """Sorted; the beginning of one text of each item of short ones."""
    probe_items: npt.NDArray[np.int32]
    stubs: Hashes
    """The same of items whose longest text has fewer letters than a probe."""
    stub_items: npt.NDArray[np.int32]
    short: Mapping[int, tuple[str, ...]]
    """For each item of short texts, the letters of its texts."""
    too_short: int
    """How many items were left out, as too short to be looked for."""

    def find(self, texts: Sequence[str]) -> dict[int, str]:
        """Place in `texts` -> name of an item it holds. The fields of a text are separated by FIELD_END."""
        codes, offsets = letter_codes(texts)
        long, probe, stub = window_hashes(codes, [WINDOW, PROBE, STUB])
        found: dict[int, str] = {}
        for place, item in _hits(long, offsets, WINDOW, self.windows, self.window_items):
            found.setdefault(place, self.names[item])
        read: dict[int, _Letters] = {}
        for place, item in (
            *_hits(probe, offsets, PROBE, self.probes, self.probe_items),
            *_hits(stub, offsets, STUB, self.stubs, self.stub_items),
        ):
            if place in found:
                continue
            if place not in read:
                read[place] = _Letters.of(texts[place])
            if read[place].hold(self.short[item]):
                found[place] = self.names[item]
        return found


@dataclass(frozen=True)
class _Letters:
    """A text's letters and digits, and where words, phrases and fields begin and end among them."""

    text: str
    words: frozenset[int]
    phrases: frozenset[int]
    fields: frozenset[int]

    @staticmethod
    def of(text: str) -> "_Letters":
        codes, _ = letter_codes([text])
        words, phrases, fields = {0}, {0}, {0}
        count = 0
        for sign in text:
            if sign.isalnum() or ord(sign) > 0xFFFF:
                count += 1
                continue
            words.add(count)
            if not sign.isspace() or sign in ("\n", FIELD_END):  # Python takes FIELD_END for white space
                phrases.add(count)
            if sign == FIELD_END:
                fields.add(count)
        ends = {count}
        return _Letters(
            _as_text(codes), frozenset(words | ends), frozenset(phrases | ends), frozenset(fields | ends)
        )

    def hold(self, parts: tuple[str, ...]) -> bool:
        """Whether all texts of an item stand here, as much by themselves as their length asks for."""
        length = sum(map(len, parts))
        return all(
            any(self._fits(start, len(part), length) for start in self._starts(part)) for part in parts
        )

    def _starts(self, part: str) -> Iterator[int]:
        start = self.text.find(part)
        while start >= 0:
            yield start
            start = self.text.find(part, start + 1)

    def _fits(self, start: int, size: int, length: int) -> bool:
        if length >= ANYWHERE:
            return True
        if length >= AT_A_WORD:
            return start in self.words
        end = start + size
        alone = start in self.phrases and end in self.phrases
        return alone and not (start in self.fields and end in self.fields)


@dataclass
class _Entries:
    """Hashes that are being collected, each with the item it belongs to."""

    hashes: list[Hashes] = field(default_factory=list)
    items: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def add(self, hashes: Hashes, item: int) -> None:
        self.hashes.append(hashes)
        self.items.append(np.full(len(hashes), item, dtype=np.int32))

    def sorted(self) -> tuple[Hashes, npt.NDArray[np.int32]]:
        if not self.hashes:
            return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int32)
        joined, owners = np.concatenate(self.hashes), np.concatenate(self.items)
        order = np.argsort(joined, kind="stable")
        return joined[order], owners[order]


def build_index(paths: Sequence[Path]) -> EvaluationIndex:
    """Read evaluation sets. Raises UserError that names the file and what is wrong with it."""
    names: list[str] = []
    windows, probes, stubs = _Entries(), _Entries(), _Entries()
    short: dict[int, tuple[str, ...]] = {}
    too_short = 0
    for path in paths:
        before = len(names)
        for item in read_items(path):
            number = len(names)
            names.append(item.name)
            codes, offsets = letter_codes(item.texts)
            longest = int(np.diff(offsets).max(initial=0))
            if longest >= WINDOW:
                _add_windows(windows, number, codes, offsets)
                continue
            if longest < STUB:
                too_short += 1
                continue
            size = PROBE if longest >= PROBE else STUB
            start = int(offsets[int(np.diff(offsets).argmax())])
            (hashes,) = window_hashes(codes, [size])
            (probes if size == PROBE else stubs).add(hashes[start : start + 1], number)
            short[number] = tuple(_as_text(codes[a:b]) for a, b in pairwise(offsets.tolist()) if b > a)
        if len(names) == before:
            raise UserError(f"The evaluation set {path} holds no items.")
    return EvaluationIndex(
        tuple(names), *windows.sorted(), *probes.sorted(), *stubs.sorted(), short, too_short
    )


def _add_windows(windows: _Entries, item: int, codes: Codes, offsets: Offsets) -> None:
    (hashes,) = window_hashes(codes, [WINDOW])
    for a, b in pairwise(offsets.tolist()):
        if b - a >= WINDOW:
            windows.add(hashes[[*range(a, b - WINDOW, STRIDE), b - WINDOW]], item)


def read_items(path: Path) -> Iterator[EvaluationItem]:
    """The items of one file, by its format. Raises UserError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"The evaluation set {path} is not UTF-8 text.", hint="Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"The evaluation set {path} cannot be read: {error.strerror}.") from error
    if path.suffix in (".tsv", ".csv"):
        yield from _table_items(path, text)
    elif path.suffix == ".json":
        yield from _korquad_items(path, text)
    elif path.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _row_item(path, number, line)
    elif path.suffix == ".txt":
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield EvaluationItem(f"{path.name}, line {number}", (line,))
    else:
        raise UserError(
            f"The evaluation set {path} is of no known format.",
            hint="KoBEST as .tsv, KorQuAD as .json, Dolly rows as .jsonl, .txt with one item on each line.",
        )


def _table_items(path: Path, text: str) -> Iterator[EvaluationItem]:
    if path.suffix == ".csv":
        lines = csv.reader(text.splitlines())
    else:
        lines = csv.reader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip().lower().replace(" ", "").replace("_", "") for name in next(lines, [])]
    chosen = next((columns for known, columns in KOBEST.items() if known <= set(header)), None)
    if chosen is None:
        raise UserError(
            f"The columns of {path} are those of no KoBEST table: {', '.join(header) or 'none'}.",
            hint="For another set, write its questions as .txt, one on each line.",
        )
    places = [header.index(column) for column in chosen]
    answer = header.index("answer") if "1" in chosen else None
    name = f"{path.parent.name}/{path.name}"
    for number, cells in enumerate(lines, start=2):
        if len(cells) < len(header):
            continue
        texts = [cells[place] for place in places]
        if answer is not None:  # COPA: the sentence with its right alternative
            texts = [texts[0], texts[2] if cells[answer].strip() == "2" else texts[1]]
        yield EvaluationItem(f"{name}, line {number}", tuple(texts))


def _korquad_items(path: Path, text: str) -> Iterator[EvaluationItem]:
    from finetune.data.convert.html_text import html_text

    try:
        articles = json.loads(text)["data"]
        for article in articles:
            for paragraph in article.get("paragraphs", [article]):
                context = paragraph["context"]
                if "<" in context[:200]:
                    context = html_text(context)
                for question in paragraph["qas"]:
                    yield EvaluationItem(
                        f"{path.name}, {question.get('id', question['question'][:20])}",
                        (question["question"],),
                    )
                yield EvaluationItem(f"{path.name}, context of {article.get('title', '?')}", (context,))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not a KorQuAD file ({type(error).__name__}: {error}).",
            hint="It has `data`, a list of articles with `context` and `qas`.",
        ) from error


def _row_item(path: Path, number: int, line: str) -> EvaluationItem:
    try:
        row = parse_row(line.encode("utf-8", "surrogatepass"))
    except UnusableLine as error:
        raise UserError(f"{path}, line {number}: {error.detail}.") from error
    return EvaluationItem(
        f"{path.name}, line {number}", tuple(t for t in (row.instruction, row.context, row.response) if t)
    )


def _hits(
    hashes: Hashes, offsets: npt.NDArray[np.int64], size: int, index: Hashes, items: npt.NDArray[np.int32]
) -> Iterator[tuple[int, int]]:
    """(place of a text, item) for every stretch within a text that stands in the index."""
    if not len(index) or not len(hashes):
        return
    # A small table of bits rules out nearly every stretch before the search in the index.
    table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
    table[index >> np.uint64(64 - _TABLE_BITS)] = True
    inside, _ = within_texts(offsets, size, len(hashes) + size - 1)
    candidates = np.flatnonzero(table[hashes >> np.uint64(64 - _TABLE_BITS)] & inside)
    wanted = hashes[candidates]
    first = np.searchsorted(index, wanted)
    last = np.searchsorted(index, wanted, side="right")
    places = np.searchsorted(offsets, candidates, side="right") - 1
    for place, a, b in zip(places.tolist(), first.tolist(), last.tolist(), strict=True):
        for item in items[a : min(b, a + 50)].tolist():
            yield place, item


def _as_text(codes: Codes) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le")
