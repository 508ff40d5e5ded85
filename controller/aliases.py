"""Aliases and splits, and their copy on disk: the one thing a controller keeps, as no worker's renewal could
tell it again."""

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from common.errors import BadRequest
from common.private_files import make_private_directory
from common.registry import Alias, Split

logger = logging.getLogger(__name__)

PLAIN = TypeAdapter(dict[str, str])
"""The file's format as long as no traffic is split; older controllers can read it, too."""


@dataclass(frozen=True, slots=True)
class AliasTable:
    """Which names lead where. Immutable: a change makes a new table."""

    aliases: dict[str, str] = field(default_factory=dict)
    """Name -> the model's own name; of a split name the stable arm."""
    splits: dict[str, Split] = field(default_factory=dict)
    """Name, an alias or a model's own -> how its traffic is split."""

    def alias(self, name: str) -> Alias | None:
        """What stands behind a name."""
        if (split := self.splits.get(name)) is not None:
            return Alias(target=split.arms[0].model, split=split)
        target = self.aliases.get(name)
        return Alias(target=target) if target is not None else None

    def with_name(self, name: str, alias: Alias) -> "AliasTable":
        """With `name` leading there alone. Raises BadRequest for what could not be followed."""
        targets = set(alias.models())
        others = {known: target for known, target in self.aliases.items() if known != name}
        leading = {arm.model for known, split in self.splits.items() if known != name for arm in split.arms}
        leading |= set(others.values())
        own = alias.split is not None and name == alias.target
        if (name in targets and not own) or targets & others.keys() or (name in leading and not own):
            raise BadRequest(
                f"{name!r} for {alias.target!r}: an alias must lead straight to a model's own name.",
                param="target",
            )
        splits = {one: split for one, split in self.splits.items() if one != name}
        if alias.split is not None:
            splits[name] = alias.split
        return AliasTable(others if own else others | {name: alias.target}, splits)

    def without(self, name: str) -> "AliasTable":
        """Without `name`, which must be among them."""
        return AliasTable(
            {known: target for known, target in self.aliases.items() if known != name},
            {known: split for known, split in self.splits.items() if known != name},
        )


SAVED = TypeAdapter(AliasTable)


def read_names(path: Path) -> AliasTable:
    """The saved names; none when there are none. A broken file is logged and left alone."""
    try:
        text = path.read_bytes()
        try:
            return AliasTable(PLAIN.validate_json(text))
        except ValidationError:
            return SAVED.validate_json(text)
    except FileNotFoundError:
        return AliasTable()
    except (OSError, ValidationError) as error:
        logger.warning("the saved aliases in %s are ignored: %s", path, error)
        return AliasTable()


def write_names(path: Path, names: AliasTable) -> None:
    """Replace the file (mode 0600) in one step. Raises OSError."""
    make_private_directory(path.parent)
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    content = SAVED.dump_python(names, mode="json") if names.splits else names.aliases
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
