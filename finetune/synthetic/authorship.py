"""Who wrote a row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Authorship:
    """The model that wrote rows, and the terms of its output."""

    model: str
    licence: str
    checkpoint: str | None = None

    def meta(self) -> dict[str, str]:
        """What `meta` of each row says of its author."""
        made = {"model": self.model, "licence": self.licence}
        return made | ({"checkpoint": self.checkpoint} if self.checkpoint else {})
