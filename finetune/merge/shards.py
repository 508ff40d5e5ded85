"""A checkpoint's weights, written shard by shard: a killed run goes on after its last whole one."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from finetune.files.hashes import file_hash
from finetune.files.whole import require_room
from finetune.merge.safetensors_io import INDEX, SINGLE, Planned, write_tensors
from finetune.progress import Progress, Report, finished

JOURNAL = ".finished.json"
"""In a directory that is being written: the shards that are whole, with their SHA-256."""
Shards = Mapping[str, Sequence[Planned]]
"""A file's name to the tensors that it will hold, in order."""


def require_room_for(directory: Path, shards: Shards) -> None:
    """Raises UserError when what is still to be written has no room; see `require_room`."""
    there = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    require_room(directory, _size(shards) - there)


def write_shards(
    directory: Path,
    shards: Shards,
    make: Callable[[Planned], torch.Tensor],
    stage: str,
    report: Report,
) -> None:
    """Write `shards` into `directory`, with their index where there are several.

    make: gives each tensor when its turn comes; one at a time is in memory.
    """
    written = _finished(directory)
    total, done = _size(shards), 0
    for number, (name, plan) in enumerate(shards.items()):
        if name not in written:
            written[name] = write_tensors(directory / name, plan, (make(each) for each in plan))
            _write_journal(directory, written)
        done += sum(each.size for each in plan)
        report(Progress(stage, done / total, f"shard {number + 1} of {len(shards)}"))
    if list(shards) != [SINGLE]:
        index = {
            "metadata": {"total_size": total},
            "weight_map": {each.key: name for name, plan in shards.items() for each in plan},
        }
        (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    report(finished(stage, f"{len(shards)} shards"))
    (directory / JOURNAL).unlink()


def _size(shards: Shards) -> int:
    return sum(each.size for plan in shards.values() for each in plan)


def _finished(directory: Path) -> dict[str, str]:
    """Shards of a killed run whose bytes are what it wrote; everything else is removed."""
    try:
        journal: dict[str, str] = json.loads((directory / JOURNAL).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        journal = {}
    return {
        name: digest
        for name, digest in journal.items()
        if (directory / name).is_file() and file_hash(directory / name) == digest
    }


def _write_journal(directory: Path, written: dict[str, str]) -> None:
    part = directory / f"{JOURNAL}.part"
    part.write_text(json.dumps(written), encoding="utf-8")
    part.rename(directory / JOURNAL)
