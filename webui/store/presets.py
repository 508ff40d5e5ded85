"""Settings of a side under a name. Whoever has made one changes it; a shared one can be used by all users."""

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from common.feedback import Sampling
from common.graphemes import cut
from webui.conversation import Data, dump
from webui.store.opening import PageDatabase
from webui.store.tables import PRESET_NAME_CHARACTERS, presets

LISTED = 200
"""Most presets in a list: a user's own ones first."""


class Preset(Data):
    """What a side is set to, whichever model answers."""

    system: str
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class KeptPreset:
    """A preset as one user sees it."""

    id: str
    name: str
    shared: bool
    mine: bool
    preset: Preset


class Presets:
    """Presets of all users. Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def listed(self, user: str) -> list[KeptPreset]:
        """The user's own and the shared ones of others, each by name."""
        table = presets.c
        mine = table.user_id == user
        query = (
            sa.select(presets)
            .where(mine | table.shared)
            .order_by(sa.case((mine, 0), else_=1), table.name, table.id)
            .limit(LISTED)
        )
        rows = await self._database.run(lambda connection: connection.execute(query).all())
        return [
            KeptPreset(row.id, row.name, row.shared, row.user_id == user, Preset.model_validate(row.value))
            for row in rows
        ]

    async def keep(self, user: str, name: str, preset: Preset, *, shared: bool) -> str | None:
        """Keep it in place of the user's own one with this name; returns its id, None for an empty name."""
        known = cut(" ".join(name.split()), PRESET_NAME_CHARACTERS)
        if not known:
            return None
        of = (presets.c.user_id == user) & (presets.c.name == known)
        values = {"shared": shared, "value": dump(preset)}

        def work(connection: sa.Connection) -> str:
            if connection.execute(sa.update(presets).where(of).values(**values)).rowcount:
                return str(connection.scalar(sa.select(presets.c.id).where(of)))
            made = str(uuid.uuid4())
            row = {"id": made, "user_id": user, "name": known, **values}
            connection.execute(sa.insert(presets).values(row))
            return made

        return await self._database.run(work)

    async def delete(self, user: str, preset_id: str) -> bool:
        """Whether there was such a one of the user's."""
        of = (presets.c.user_id == user) & (presets.c.id == preset_id)
        return await self._database.run(lambda c: c.execute(sa.delete(presets).where(of)).rowcount > 0)
