"""Who wrote a row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Authorship:
    """The model that wrote, and under which terms."""

    model: str
    licence: str
    checkpoint: str | None = None

    def meta(self) -> dict[str, str]:
        """For `meta` of each row."""
        made = {"model": self.model, "licence": self.licence}
        return made | ({"checkpoint": self.checkpoint} if self.checkpoint else {})
