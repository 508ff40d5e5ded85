"""A file that somebody puts beside a question."""

from dataclasses import dataclass
from typing import Literal

FileKind = Literal["image", "text"]
IMAGE_BYTES = 10 * 1024 * 1024
"""Of images in one request: a gateway takes 16 MiB, and base64 makes four bytes of three."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """One that can go along with a question."""

    kind: FileKind
    name: str
    type: str
    """Media type."""
    content: bytes
    """Of an image as it came; of a text in UTF-8."""
