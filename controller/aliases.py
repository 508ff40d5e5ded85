"""Aliases on disk: the one thing a controller keeps, since no worker's renewal could tell it again."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from common.private_files import make_private_directory

logger = logging.getLogger(__name__)

ALIASES = TypeAdapter(dict[str, str])


def read_aliases(path: Path) -> dict[str, str]:
    """The saved aliases; {} when there are none. A broken file is logged and left alone."""
    try:
        return ALIASES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        logger.warning("the saved aliases in %s are ignored: %s", path, error)
        return {}


def write_aliases(path: Path, aliases: Mapping[str, str]) -> None:
    """Replace the file (mode 0600) in one step. Raises OSError."""
    make_private_directory(path.parent)
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(aliases, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
