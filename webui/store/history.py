"""The list of a user's conversations, and the folders that it shows."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from webui.store.tables import conversations, folders, turns

LISTED = 100
"""Most conversations in a list that are in no folder; a search finds the others."""
LISTED_IN_FOLDERS = 400
"""Most that are in one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list of conversations."""

    id: str
    title: str
    pinned: bool
    folder: str | None = None
    """Id of the folder that it is in."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder for chats."""

    id: str
    name: str


def list_conversations(connection: sa.Connection, user: str, kind: str, search: str) -> list[Listed]:
    """Those of one kind, pinned ones first, then the newest; `search` looks into titles and questions."""
    table = conversations.c
    query = (
        sa.select(table.id, table.title, table.pinned, folders.c.id.label("folder"))
        .join_from(conversations, folders, _is_there(user) & (folders.c.id == table.folder_id), isouter=True)
        .where(table.user_id == user, table.kind == kind, table.deleted.is_(None))
        .order_by(table.pinned.desc(), table.updated.desc())
    )
    if words := search.strip():
        asked = sa.exists().where(
            turns.c.conversation_id == table.id, turns.c.question.icontains(words, autoescape=True)
        )
        query = query.where(table.title.icontains(words, autoescape=True) | asked)
    filed = _lines(connection, query.where(folders.c.id.is_not(None)).limit(LISTED_IN_FOLDERS))
    return filed + _lines(connection, query.where(folders.c.id.is_(None)).limit(LISTED))


def list_folders(connection: sa.Connection, user: str) -> list[Folder]:
    """All of a user's, by name."""
    rows = connection.execute(sa.select(folders.c.id, folders.c.name).where(_is_there(user)))
    return sorted((Folder(row.id, row.name) for row in rows), key=lambda folder: folder.name)


def _is_there(user: str) -> sa.ColumnElement[bool]:
    return (folders.c.user_id == user) & folders.c.deleted.is_(None)


def _lines(connection: sa.Connection, query: sa.Select[Any]) -> list[Listed]:
    return [Listed(row.id, row.title, row.pinned, row.folder) for row in connection.execute(query)]
