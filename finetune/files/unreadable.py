"""The error for a file that cannot be opened, or for a Hugging Face hub id where a file is expected."""

import re
from pathlib import Path

from common.errors import UserError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""OWNER/NAME, the form of the hub's ids of models and data sets."""
FILE_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst", ".txt", ".md")
"""Endings of data files' names, by which `data/rows.jsonl` is told from a hub id."""


def unreadable(path: Path, error: OSError, what: str = "") -> UserError:
    """The error to raise for `path`; what: what the path was to be, such as `The row file`."""
    dataset = "/".join(path.parts[-2:])
    missing = isinstance(error, FileNotFoundError)
    if missing and path.suffix not in FILE_ENDINGS and HUB_ID.fullmatch(dataset):
        return UserError(
            f"There is no file {path}, and data sets of the Hugging Face hub are not read by their names.",
            hint=f"`hf download {dataset} --repo-type dataset` fetches one and prints where it lies; "
            "`kodolly data convert FILE rows.jsonl` makes rows of its files.",
        )
    hint = ""
    if isinstance(error, IsADirectoryError):
        hint = f"`kodolly data convert {path} rows.jsonl` makes rows of all data files of a directory."
    return UserError(f"{what} {path} cannot be read: {error.strerror or error}.".lstrip(), hint=hint)
