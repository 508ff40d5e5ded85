"""On whose behalf a request reads and writes what is stored."""

from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class Owner:
    """A key, or an administrator."""

    key_id: str
    sees_all: bool = False
    """An administrator: sees and replaces what other keys have stored, too."""


def visible(table: sa.Table, owner: Owner) -> sa.ColumnElement[bool]:
    """Which rows of the table are the owner's to see."""
    return sa.true() if owner.sees_all else table.c.key_id == owner.key_id
