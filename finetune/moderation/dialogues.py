"""Labelled dialogues in the format of AI Hub's text ethics data (558, "텍스트 윤리검증 데이터").

A file holds `[{"id", "sentences": [{"text", "types": [...], "intensity": 0.0-3.0}]}]`; the set comes as ZIPs
of several such files, each with a byte order mark.
"""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.errors import UserError
from finetune.files.line_chunks import BOM
from finetune.files.unreadable import unreadable
from moderation.classes import CLASSES, CLEAN, LEVEL_BEGINS

MEMBER_BYTES = 4 << 30
"""Most bytes of a file in a ZIP, unpacked; a larger one is refused."""
_WORDS = {"LOW": 1.0, "MEDIUM": LEVEL_BEGINS["medium"], "HIGH": LEVEL_BEGINS["high"]}
SHAPE = 'Expected is AI Hub\'s shape: [{"id": ..., "sentences": [{"text": ..., "types": [...]}]}].'


@dataclass(frozen=True, slots=True)
class Sentence:
    """One labelled sentence."""

    dialogue: str
    text: str
    classes: frozenset[str]
    """The classes of the sentence; empty for a clean one."""
    intensity: float
    """0 for a clean sentence, else AI Hub's mean of votes, 1 to 3; 3 where the data does not say."""


def read_dialogues(paths: Sequence[Path]) -> list[Sentence]:
    """The sentences of JSON files, ZIPs and directories of them. Raises UserError that names what is
    wrong."""
    sentences = [
        sentence
        for path in data_files(paths)
        for name, data in _documents(path)
        for sentence in _sentences(name, data)
    ]
    if not sentences:
        raise UserError("There are no labelled sentences.", hint=SHAPE)
    return sentences


def data_files(paths: Sequence[Path]) -> list[Path]:
    """The paths with each directory replaced by the .json and .zip files below it. Raises UserError."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".json", ".zip"))
        if not inside:
            raise UserError(f"{path} holds no .json and no .zip file.")
        found += inside
    return found


def _documents(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name for messages, content) of the JSON file `path`, or of each JSON file in a ZIP."""
    try:
        if zipfile.is_zipfile(path):
            yield from _members(path)
        else:
            yield str(path), path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, "The file") from error


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.lower().endswith(".json")]
            if not members:
                raise UserError(f"{path} holds no .json file.")
            for member in members:
                if member.file_size > MEMBER_BYTES:
                    raise UserError(f"{member.filename} in {path} is larger than {MEMBER_BYTES >> 30} GiB.")
                yield f"{path}:{member.filename}", archive.read(member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be unpacked: {error}.") from error


def _sentences(name: str, data: bytes) -> Iterator[Sentence]:
    try:
        dialogues = msgspec.json.decode(data.removeprefix(BOM))
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"{name} is not valid JSON: {error}.", hint=SHAPE) from error
    if not isinstance(dialogues, list):
        raise UserError(f"{name} is no list of dialogues.", hint=SHAPE)
    for number, dialogue in enumerate(dialogues, start=1):
        where = f"{name}: dialogue {number}"
        if not isinstance(dialogue, dict) or not isinstance(dialogue.get("sentences"), list):
            raise UserError(f"{where} has no sentences.", hint=SHAPE)
        # Ids are unique in one file only: two files may count from the same number.
        yield from _of_dialogue(where, f"{name}#{dialogue.get('id', number)}", dialogue["sentences"])


def _of_dialogue(where: str, dialogue: str, entries: Iterable[object]) -> Iterator[Sentence]:
    for number, entry in enumerate(entries, start=1):
        at = f"{where}, sentence {number}"
        fields = entry if isinstance(entry, dict) else {}
        text, types = fields.get("text") or fields.get("origin_text"), fields.get("types")
        if not isinstance(text, str) or not isinstance(types, list) or not types:
            raise UserError(f"{at} has no text or no types.", hint=SHAPE)
        if unknown := [one for one in types if one not in (*CLASSES, CLEAN)]:
            raise UserError(
                f"{at} has the unknown type {unknown[0]!r}.",
                hint=f"Known are {', '.join((*CLASSES, CLEAN))}.",
            )
        classes = frozenset(types) - {CLEAN}
        yield Sentence(dialogue, text, classes, _intensity(at, fields.get("intensity")) if classes else 0.0)


def _intensity(at: str, given: str | float | None) -> float:
    if given is None:
        return 3.0
    if isinstance(given, str) and given.upper() in _WORDS:
        return _WORDS[given.upper()]
    try:
        return float(given)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{at} has the intensity {given!r}.", hint="It is a number from 0 to 3, or LOW, MEDIUM, HIGH."
        ) from error
