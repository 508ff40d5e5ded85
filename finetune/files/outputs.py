"""Paths of the files that are written beside an output and named after it."""

from pathlib import Path


def rejects_path(output: Path) -> Path:
    """The file of the lines that became no row: `rows.jsonl` -> `rows.rejected.jsonl`."""
    return _beside(output, "rejected")


def masked_path(output: Path) -> Path:
    """The file of the originals of masked personal data, written when there are any: `rows.jsonl` ->
    `rows.masked.jsonl`."""
    return _beside(output, "masked")


def _beside(output: Path, kind: str) -> Path:
    return output.with_name(f"{output.name.removesuffix('.jsonl').removesuffix('.json')}.{kind}.jsonl")
