"""One stretch of lines through all checks that need no other line: the part of cleaning that every core does.

Its results go to files, so that a killed run goes on where it was and the main process holds no rows:

    NNNNNN.rows      the rows that are good so far, as lines
    NNNNNN.rejected  the others, each with its reason, as lines
    NNNNNN.masked    what masks took the place of, as lines, for the owner's eyes only
    NNNNNN.index.npy one entry for each good row (INDEX)
    NNNNNN.bands.npy, NNNNNN.signatures.npy
                     what near-duplicates are found by (finetune.data.clean.minhash)
    NNNNNN.json      counts and samples; it is written last, so where it stands the others are whole
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from finetune.data.clean.broken_text import lost_characters
from finetune.data.clean.contamination import FIELD_END, EvaluationIndex
from finetune.data.clean.findings import findings
from finetune.data.clean.licences import allows_commercial_use
from finetune.data.clean.mending import mend_row
from finetune.data.clean.minhash import band_keys, signatures, whole_text
from finetune.data.clean.personal_data import KINDS, MASKS, Masked
from finetune.files.line_chunks import LineChunk
from finetune.rows.categories import CATEGORIES
from finetune.rows.fast_row import JsonPair, JsonRow, JsonTurn, UnusableLine, parse_row, write_row
from finetune.rows.provenance import Provenance
from finetune.rows.tool_calls import ToolCall

CATEGORY_NAMES = (*sorted(CATEGORIES), "")
"""A preference pair may have none."""
INDEX = np.dtype(
    [
        ("line", "<i8"),
        ("end", "<i8"),
        ("hash", "<u8"),
        ("instruction", "<i4"),
        ("context", "<i4"),
        ("response", "<i4"),
        ("category", "<u1"),
        ("origin", "<u2"),
    ]
)
"""Line in the input; end of its line in the rows file, in bytes; hash of its texts; lengths in characters;
place in CATEGORY_NAMES; place in the chunk's `origins`."""
SAMPLES = 5
_CUT_SAMPLE = 300
_MOST_ORIGINS = 0xFFFF
Reject = Callable[[int, str, str, Mapping[str, Any], str], None]


@dataclass(frozen=True)
class CleaningRules:
    """What cleaning is asked to do."""

    allow: frozenset[str] = frozenset()
    """Names of reasons that don't reject a row."""
    commercial: bool = False
    """Keep only rows whose `meta.licence` allows commercial use."""
    evaluation: EvaluationIndex | None = None
    near_duplicates: bool = True
    """Whether signatures are made."""
    masks: frozenset[str] = KINDS
    """Kinds of personal data that are masked (keys of `personal_data.MASKS`)."""


class ShownRow(msgspec.Struct):
    """A row as a report shows it."""

    file: str
    line: int
    detail: str
    texts: dict[str, str]


class ChunkReport(msgspec.Struct):
    """What became of one chunk's lines."""

    file: str
    read: int = 0
    """Lines that are not blank."""
    origins: list[Provenance] = []
    rejected: dict[str, int] = {}
    rejected_of: dict[str, dict[str, int]] = {}
    """Source -> reason -> rows."""
    mended: dict[str, int] = {}
    allowed: dict[str, int] = {}
    """Findings that were let pass."""
    samples: dict[str, list[ShownRow]] = {}


@dataclass
class _Tally:
    """What is counted while a chunk is read."""

    file: str
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_of: dict[str, Counter[str]] = field(default_factory=dict)
    mended: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[ShownRow]] = field(default_factory=dict)
    masked: list[bytes] = field(default_factory=list)

    def mask(self, line: int, name: str, masked: Masked) -> None:
        made = {
            "file": self.file,
            "line": line,
            "field": name,
            "start": masked.start,
            "kind": masked.kind,
            "mask": MASKS[masked.kind],
            "original": masked.original,
        }
        self.masked.append(msgspec.json.encode(made) + b"\n")

    def sample(self, name: str, line: int, detail: str, texts: Mapping[str, str]) -> None:
        shown = self.samples.setdefault(name, [])
        if len(shown) < SAMPLES:
            shown.append(ShownRow(self.file, line, detail[:_CUT_SAMPLE], cut_texts(texts)))


def clean_chunk(work: Path, number: int, file: str, chunk: LineChunk, rules: CleaningRules) -> None:
    """Judge the lines of `chunk` (from the input `file`) and write the files of chunk `number` to `work`."""
    tally = _Tally(file)
    good: list[tuple[int, JsonRow]] = []
    rejects: list[tuple[int, bytes]] = []
    read = 0

    def reject(line: int, reason: str, detail: str, what: Mapping[str, Any], source: str) -> None:
        tally.rejected[reason] += 1
        tally.rejected_of.setdefault(source, Counter())[reason] += 1
        rejects.append((line, reject_line(file, line, reason, detail, what)))
        row = what.get("row")
        tally.sample(reason, line, detail, row_texts(row) if row else {"text": what.get("text", "")})

    for line, text in enumerate(chunk.data.split(b"\n"), start=chunk.first):
        if not text or text.isspace():
            continue
        read += 1
        try:
            row = parse_row(text)
        except UnusableLine as error:
            reject(
                line, error.reason, error.detail, {"text": text.decode(errors="replace").strip("\r")}, file
            )
            continue
        found = _judge(row, rules, tally, line)
        if found is not None:
            reject(line, *found, {"row": row}, source_of(row, file))
        else:
            good.append((line, row))

    if rules.evaluation is not None and good:
        good = _without_evaluation_items(good, rules, tally, reject)
    _write(work, number, file, good, rejects, read, tally, rules)


def source_of(row: JsonRow, file: str) -> str:
    """Where the row comes from: its meta's source, else the file."""
    source = row.meta.get("source")
    return source if isinstance(source, str) and source else Path(file).name


def row_texts(row: JsonRow) -> dict[str, str]:
    """A row's texts by name."""
    history = {"history": "\n".join(map(_shown, row.history))} if row.history else {}
    steps = {"steps": "\n".join(map(_shown, row.steps))} if row.steps else {}
    texts = {**history, "instruction": row.instruction, "context": row.context, **steps}
    texts |= {"reasoning": row.reasoning_content} if row.reasoning_content else {}
    texts["response"] = "\n".join([*filter(None, [row.response]), *map(_shown_call, row.tool_calls)])
    return {**texts, "rejected": row.rejected} if isinstance(row, JsonPair) else texts


def _shown(turn: JsonTurn) -> str:
    said = [turn.content] if turn.content or not turn.tool_calls else []
    return f"{turn.role}: " + "\n".join([*said, *map(_shown_call, turn.tool_calls)])


def _shown_call(call: ToolCall) -> str:
    return f"{call.name}({msgspec.json.encode(call.arguments).decode()})"


def cut_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Texts as short as a report shows them, without empty ones."""
    return {
        name: text
        if len(text) <= _CUT_SAMPLE
        else text[: _CUT_SAMPLE // 2] + " … " + text[-_CUT_SAMPLE // 2 :]
        for name, text in texts.items()
        if text
    }


def reject_line(file: str, line: int, reason: str, detail: str, what: Mapping[str, Any]) -> bytes:
    """One line of the file of rejected rows: where it stood, why it was dropped, the row (or its text)."""
    row = what.get("row")
    shown = {"row": msgspec.Raw(write_row(row)[:-1])} if row is not None else dict(what)
    made = {"file": file, "line": line, "reason": reason, "detail": detail, **shown}
    return msgspec.json.encode(made) + b"\n"


def write_private(path: Path, data: bytes) -> None:
    """A new file that its owner alone can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def row_hash(row: JsonRow) -> int:
    """64 bits of what makes a row another row: its texts, and who said what before."""
    roles = "".join(turn.role[0] for turn in (*row.history, *row.steps))
    called = [call.name for turn in (*row.history, *row.steps) for call in turn.tool_calls]
    called += [_shown_call(call) for call in row.tool_calls]
    data = "\x1e".join([roles, *called, *row.texts()]).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _judge(row: JsonRow, rules: CleaningRules, tally: _Tally, line: int) -> tuple[str, str] | None:
    """Mend the row and say what it is rejected for, if anything."""
    lost = next((found for text in row.texts() if (found := lost_characters(text))), None)
    try:
        mended = mend_row(row, rules.masks)
    except UnusableLine as error:
        return error.reason, error.detail
    for field_name, masked in mended.masked:
        tally.mask(line, field_name, masked)
    if lost is not None:
        if "broken_encoding" not in rules.allow:
            return "broken_encoding", lost
        tally.allowed["broken_encoding"] += 1
    for reason, detail in findings(row):
        if reason not in rules.allow:
            return reason, detail
        tally.allowed[reason] += 1
    if rules.commercial and not allows_commercial_use(row.meta.get("licence")):
        return "licence", str(row.meta.get("licence") or "the row names none")
    for name in sorted(mended.names):
        tally.mended[name] += 1
        tally.sample(name, line, "", row_texts(row))
    return None


def _without_evaluation_items(
    good: list[tuple[int, JsonRow]], rules: CleaningRules, tally: _Tally, reject: Reject
) -> list[tuple[int, JsonRow]]:
    assert rules.evaluation is not None
    held = rules.evaluation.find([FIELD_END.join(row.texts()) for _, row in good])
    if "evaluation_overlap" in rules.allow:
        tally.allowed["evaluation_overlap"] += len(held)
        return good
    for place, name in held.items():
        line, row = good[place]
        reject(line, "evaluation_overlap", name, {"row": row}, source_of(row, tally.file))
    return [entry for place, entry in enumerate(good) if place not in held]


def _write(
    work: Path,
    number: int,
    file: str,
    good: list[tuple[int, JsonRow]],
    rejects: list[tuple[int, bytes]],
    read: int,
    tally: _Tally,
    rules: CleaningRules,
) -> None:
    lines = [write_row(row) for _, row in good]
    index, origins = _index(file, good, lines)
    stem = str(work / f"{number:06d}")
    Path(f"{stem}.rows").write_bytes(b"".join(lines))
    rejects.sort(key=lambda reject: reject[0])
    Path(f"{stem}.rejected").write_bytes(b"".join(line for _, line in rejects))
    write_private(Path(f"{stem}.masked"), b"".join(tally.masked))
    np.save(f"{stem}.index.npy", index)
    if rules.near_duplicates:
        signed = signatures([whole_text(row) for _, row in good])
        np.save(f"{stem}.signatures.npy", signed)
        np.save(f"{stem}.bands.npy", band_keys(signed))
    report = ChunkReport(
        file,
        read,
        origins,
        dict(tally.rejected),
        {source: dict(reasons) for source, reasons in tally.rejected_of.items()},
        dict(tally.mended),
        dict(tally.allowed),
        tally.samples,
    )
    part = Path(f"{stem}.part")
    part.write_bytes(msgspec.json.encode(report))
    os.replace(part, f"{stem}.json")


def _index(
    file: str, good: list[tuple[int, JsonRow]], lines: list[bytes]
) -> tuple[npt.NDArray[np.void], list[Provenance]]:
    """What later stages ask about each row, and the origins that its column `origin` counts in."""
    origins: dict[Provenance, int] = {}
    index = np.zeros(len(good), dtype=INDEX)
    index["end"] = np.cumsum([len(line) for line in lines], dtype=np.int64) if lines else 0
    index["line"] = [line for line, _ in good]
    index["hash"] = np.fromiter((row_hash(row) for _, row in good), dtype=np.uint64, count=len(good))
    for name in ("instruction", "context", "response"):
        index[name] = [len(getattr(row, name)) for _, row in good]
    index["category"] = [CATEGORY_NAMES.index(row.category) for _, row in good]
    places = []
    for _, row in good:
        licence = row.meta.get("licence")
        origin = Provenance(source_of(row, file), licence if isinstance(licence, str) else "")
        if origin not in origins and len(origins) >= _MOST_ORIGINS:
            origin = next(iter(origins))
        places.append(origins.setdefault(origin, len(origins)))
    index["origin"] = places
    return index, list(origins)
