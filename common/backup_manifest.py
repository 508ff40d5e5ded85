"""What a backup of stores says of itself."""

import json
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError

FORMAT = 2
"""1: the gateway's store alone, its schema and rows beside the date."""
STORE_OF_FORMAT_1 = "kodolly.db"


@dataclass(frozen=True, slots=True)
class StoreContents:
    """How much of one store is in a backup."""

    schema: str
    """Revision of its tables."""
    rows: Mapping[str, int]
    """Rows by table."""


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """Which stores are in a backup."""

    created: str
    """UTC, ISO 8601."""
    stores: Mapping[str, StoreContents]
    """By the name of their database in the backup."""
    format: int = field(default=FORMAT)


def read_manifest(
    source: Path, archive: zipfile.ZipFile, name: str, known: Collection[str]
) -> BackupManifest:
    """The manifest in member `name`. Raises UserError where there is none, or where it names other stores
    than the `known` ones."""
    try:
        told = json.loads(archive.read(name))
        manifest = _manifest(source, told)
        for file in manifest.stores:
            archive.getinfo(file)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{source} is not a backup of kodolly.", hint="`kodolly backup FILE` writes one."
        ) from error
    if unknown := set(manifest.stores) - set(known):
        raise UserError(f"{source} holds stores that are not known: {', '.join(sorted(unknown))}.")
    return manifest


def _manifest(source: Path, told: dict[str, Any]) -> BackupManifest:
    if told["format"] == 1:
        contents = StoreContents(told["schema"], told["rows"])
        return BackupManifest(told["created"], {STORE_OF_FORMAT_1: contents}, 1)
    if told["format"] != FORMAT:
        raise UserError(f"{source} has format {told['format']}, known is {FORMAT}.", hint="Upgrade kodolly.")
    stores = {file: StoreContents(one["schema"], one["rows"]) for file, one in told["stores"].items()}
    return BackupManifest(told["created"], stores)
