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


@dataclass(frozen=True, slots=True)
class History:
    """What the list of one kind of conversations shows."""

    lines: list[Listed]
    """Those in folders first, the pinned and newest on top."""
    folders: list[Folder]
    """Of chats alone, by name."""


_FOLDERS_THERE = (folders.c.user_id == sa.bindparam("user")) & folders.c.deleted.is_(None)
_FOLDERS = sa.select(folders.c.id, folders.c.name).where(_FOLDERS_THERE)
_CONVERSATIONS = (
    sa.select(conversations.c.id, conversations.c.title, conversations.c.pinned, folders.c.id.label("folder"))
    .join_from(
        conversations, folders, _FOLDERS_THERE & (folders.c.id == conversations.c.folder_id), isouter=True
    )
    .where(conversations.c.user_id == sa.bindparam("user"), conversations.c.kind == sa.bindparam("kind"))
    .where(conversations.c.deleted.is_(None))
    .order_by(conversations.c.pinned.desc(), conversations.c.updated.desc())
)
_FILED = _CONVERSATIONS.where(folders.c.id.is_not(None)).limit(LISTED_IN_FOLDERS)
_LOOSE = _CONVERSATIONS.where(folders.c.id.is_(None)).limit(LISTED)


def read_history(connection: sa.Connection, user: str, kind: str, search: str) -> History:
    """`search` looks into titles and questions."""
    folded = _folders(connection, user) if kind == "chat" else []
    found: list[Listed] = []
    for query in (_FILED, _LOOSE) if folded else (_LOOSE,):
        rows = connection.execute(_searched(query, search.strip()), {"user": user, "kind": kind})
        found += [Listed(row.id, row.title, row.pinned, row.folder) for row in rows]
    return History(found, folded)


def _searched(query: sa.Select[Any], words: str) -> sa.Select[Any]:
    if not words:
        return query
    table = conversations.c
    asked = sa.exists().where(
        turns.c.conversation_id == table.id, turns.c.question.icontains(words, autoescape=True)
    )
    return query.where(table.title.icontains(words, autoescape=True) | asked)


def _folders(connection: sa.Connection, user: str) -> list[Folder]:
    rows = connection.execute(_FOLDERS, {"user": user})
    return sorted((Folder(row.id, row.name) for row in rows), key=lambda folder: folder.name)
