"""On whose behalf a request reads and writes what is stored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """A key, or an administrator."""

    key_id: str
    sees_all: bool = False
    """An administrator: sees and replaces what other keys have stored, too."""
