"""Files that stand beside an output and are named after it."""

from pathlib import Path


def rejects_path(output: Path) -> Path:
    """Where what became no row goes: `rows.jsonl` -> `rows.rejected.jsonl`."""
    return _beside(output, "rejected")


def masked_path(output: Path) -> Path:
    """Where the originals of masked personal data go, when there are any: `rows.jsonl` ->
    `rows.masked.jsonl`."""
    return _beside(output, "masked")


def _beside(output: Path, kind: str) -> Path:
    return output.with_name(f"{output.name.removesuffix('.jsonl').removesuffix('.json')}.{kind}.jsonl")
