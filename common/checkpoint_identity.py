"""Which checkpoint it is: a short id that every answer names, from the worker's card to people's feedback.

A checkpoint of ours is identified by its card, so that the id can be checked by hand:
`sha256sum kodolly.json | cut -c1-12`. One without a card is identified by its files, and its id says so.
An adapter served beside its base has both ids, joined by `+`.
"""

import hashlib
import json
import re
from pathlib import Path

from common.checkpoint import CARD_FILE

CHECKPOINT_ID = re.compile(r"(files-)?[0-9a-f]{12}(\+(files-)?[0-9a-f]{12})?")
"""What an id looks like: safe in a header, a file name and a metric's label."""
LENGTH = 12
"""Hex digits: 48 bits, so that two of a million checkpoints share an id once in 600 times."""
MARK = "files-"
"""Begins the id of a checkpoint without a card."""
SAMPLE_BYTES = 4096
"""Read of each tensor. A tuned matrix differs from its base's everywhere, so a piece of each is enough."""
ADAPTER_CARD_FILE = "kodolly-adapter.json"
"""Our own adapters hold the card of what they were trained to there."""
SETTINGS_FILES = ("config.json", "adapter_config.json")
MAX_HEADER_BYTES = 100_000_000
"""The limit that the safetensors library itself sets."""


def checkpoint_id(directory: Path, adapter: Path | None = None) -> str:
    """The id of the checkpoint in `directory`, with the adapter that is served on top of it.

    Reads the card, or of a checkpoint without one its configuration, the weights' headers and a piece of
    each tensor: some MB whatever the size of the model. Raises OSError when the files cannot be read.
    """
    own = _directory_id(directory, CARD_FILE)
    if adapter is None:
        return own
    card = CARD_FILE if (adapter / CARD_FILE).exists() else ADAPTER_CARD_FILE
    return f"{own}+{_directory_id(adapter, card)}"


def _directory_id(directory: Path, card: str) -> str:
    try:
        return hashlib.sha256((directory / card).read_bytes()).hexdigest()[:LENGTH]
    except FileNotFoundError:
        return MARK + _digest_of_files(directory)


def _digest_of_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in SETTINGS_FILES:
        if (directory / name).is_file():
            digest.update((directory / name).read_bytes())
    for shard in sorted(directory.glob("*.safetensors")):
        digest.update(b"\0%b\0%d\0" % (shard.name.encode(), shard.stat().st_size))
        _add_samples(digest, shard)
    return digest.hexdigest()[:LENGTH]


def _add_samples(digest: "hashlib._Hash", shard: Path) -> None:
    """The header, and the middle of each tensor: two fine-tunes of one base have files of the same size.

    Format: https://github.com/huggingface/safetensors#format
    """
    with shard.open("rb") as file:
        length = min(int.from_bytes(file.read(8), "little"), MAX_HEADER_BYTES)
        header = file.read(length)
        digest.update(header)
        for begin, end in _spans(header):
            middle = begin + max(0, (end - begin - SAMPLE_BYTES) // 2)
            file.seek(8 + length + middle)
            digest.update(file.read(min(SAMPLE_BYTES, end - begin)))


def _spans(header: bytes) -> list[tuple[int, int]]:
    """Where each tensor's bytes lie behind the header; none when it is no header."""
    try:
        entries = json.loads(header)
        spans = [entry["data_offsets"] for name, entry in entries.items() if name != "__metadata__"]
        return sorted((int(begin), int(end)) for begin, end in spans if 0 <= int(begin) <= int(end))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
