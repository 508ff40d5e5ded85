"""Folders for chats. A deleted one comes back with the chats that were in it."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from common.graphemes import cut
from webui.store.conversation_rows import set_fields
from webui.store.history import Folder
from webui.store.opening import PageDatabase
from webui.store.tables import FOLDER_NAME_CHARACTERS, folders


class FolderNameTaken(Exception):
    """Another folder of the user's has this name."""


class Folders:
    """Folders of all users; each sees their own alone. Every method raises StoreFailed when the database
    does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def make(self, user: str, name: str) -> str | None:
        """The id of the folder with this name, which is there from now on; None for an empty name."""
        known = _as_name(name)
        row = {"id": str(uuid.uuid4()), "user_id": user, "name": known}
        named = _of(user) & (folders.c.name == known)

        def work(connection: sa.Connection) -> str:
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(folders).values(row))
                return row["id"]
            except IntegrityError:
                return str(connection.scalar(sa.select(folders.c.id).where(named)))

        return await self._database.run(work) if known else None

    async def rename(self, user: str, folder_id: str, name: str) -> None:
        """Give it another name; an empty one changes nothing. Raises FolderNameTaken."""
        known = _as_name(name)
        named = sa.update(folders).where(_of(user), folders.c.id == folder_id).values(name=known)

        def work(connection: sa.Connection) -> None:
            try:
                with connection.begin_nested():
                    connection.execute(named)
            except IntegrityError as error:
                raise FolderNameTaken from error

        if known:
            await self._database.run(work)

    async def delete(self, user: str, folder_id: str) -> Folder | None:
        """Take it away; its chats stay. Returns what it was, None for none of the user's."""
        which = _of(user) & (folders.c.id == folder_id)

        def work(connection: sa.Connection) -> Folder | None:
            name = connection.scalar(sa.select(folders.c.name).where(which))
            connection.execute(sa.update(folders).where(which).values(deleted=datetime.now(UTC)))
            return Folder(folder_id, name) if name is not None else None

        return await self._database.run(work)

    async def restore(self, user: str, folder_id: str) -> None:
        """Bring a deleted one back. Raises FolderNameTaken where there is another one by now."""
        which = (folders.c.user_id == user) & (folders.c.id == folder_id)

        def work(connection: sa.Connection) -> None:
            try:
                with connection.begin_nested():
                    connection.execute(sa.update(folders).where(which).values(deleted=None))
            except IntegrityError as error:
                raise FolderNameTaken from error

        await self._database.run(work)

    async def move(self, user: str, conversation_id: str, folder_id: str | None) -> bool:
        """Put a chat into a folder, or out of all; False where that folder is not there."""

        def work(connection: sa.Connection) -> bool:
            if folder_id is not None:
                found = sa.select(folders.c.id).where(_of(user), folders.c.id == folder_id)
                if connection.scalar(found) is None:
                    return False
            set_fields(connection, user, conversation_id, folder_id=folder_id)
            return True

        return await self._database.run(work)


def _of(user: str) -> sa.ColumnElement[bool]:
    return (folders.c.user_id == user) & folders.c.deleted.is_(None)


def _as_name(words: str) -> str:
    """One line, at most as long as the column allows."""
    return cut(" ".join(words.split()), FOLDER_NAME_CHARACTERS)
