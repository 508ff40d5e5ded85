"""Images and texts that go along with questions. One that no question took is gone after a day."""

import base64
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from webui.conversation import AttachedFile, Setup
from webui.files.file import IMAGE_BYTES, ReadFile
from webui.store.opening import PageDatabase
from webui.store.tables import answers, conversations, files, shares, turn_files, turns

UNSENT = timedelta(days=1)
MOST_UNSENT = 40
"""Of one user; then the oldest gives way."""
MOST_FILES = 4
"""With one question."""


class NoImages(Exception):
    """A model that is asked takes no images, or nobody knows that it does."""


class ImagesTooLarge(Exception):
    """One request does not hold all images of a question."""


class FileGone(Exception):
    """A file that a question names is not there, or not the user's."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """What a browser gets of one."""

    name: str
    type: str
    content: bytes


class Files:
    """Files of all users. Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def keep(self, user: str, read: ReadFile) -> str:
        """Keep one for a question that is still to come; returns its id."""
        now, made = datetime.now(UTC), str(uuid.uuid4())
        unsent = ~sa.exists().where(turn_files.c.file_id == files.c.id)
        old = sa.delete(files).where(files.c.made < now - UNSENT, unsent)
        theirs = sa.select(files.c.id).where(files.c.user_id == user, unsent).order_by(files.c.made.desc())
        row = {"id": made, "user_id": user, "kind": read.kind, "name": read.name, "type": read.type}

        def work(connection: sa.Connection) -> str:
            connection.execute(old)
            over = connection.scalars(theirs.offset(MOST_UNSENT - 1)).all()
            connection.execute(sa.delete(files).where(files.c.id.in_(over)))
            connection.execute(sa.insert(files).values(**row, content=read.content, made=now))
            return made

        return await self._database.run(work)

    async def find(self, user: str, file_id: str) -> KeptFile | None:
        """One of the user's; None for others, and for those whose conversations are all deleted."""
        of = (
            sa.select(conversations.c.deleted)
            .join_from(turn_files, turns, turns.c.id == turn_files.c.turn_id)
            .join(conversations, conversations.c.id == turns.c.conversation_id)
            .where(turn_files.c.file_id == file_id)
        )

        def work(connection: sa.Connection) -> KeptFile | None:
            ends = connection.scalars(of).all()
            if ends and all(deleted is not None for deleted in ends):
                return None
            return _read(connection, (files.c.id == file_id) & (files.c.user_id == user))

        return await self._database.run(work)

    async def shared(self, word: str, file_id: str) -> KeptFile | None:
        """One that stands in a shared conversation as it was shared."""

        def work(connection: sa.Connection) -> KeptFile | None:
            query = sa.select(shares.c.answers).join(
                conversations, conversations.c.id == shares.c.conversation_id
            )
            seen = connection.scalar(query.where(shares.c.id == word, conversations.c.deleted.is_(None)))
            there = (
                sa.select(turn_files.c.file_id)
                .join(answers, answers.c.turn_id == turn_files.c.turn_id)
                .join(turns, turns.c.id == turn_files.c.turn_id)
                .where(answers.c.id.in_(seen or []), turns.c.withdrawn.is_(False))
            )
            return _read(connection, (files.c.id == file_id) & files.c.id.in_(there))

        return await self._database.run(work)

    async def data_urls(self, file_ids: Sequence[str]) -> Mapping[str, str]:
        """Images as models are sent them, by id."""
        query = sa.select(files.c.id, files.c.type, files.c.content).where(files.c.id.in_(file_ids))

        def work(connection: sa.Connection) -> dict[str, str]:
            return {row.id: _data_url(row.type, row.content) for row in connection.execute(query)}

        return await self._database.run(work)


def find_files(
    connection: sa.Connection, user: str, file_ids: Sequence[str], setups: Iterable[Setup]
) -> tuple[AttachedFile, ...]:
    """The user's files with these ids, in this order, for models that are set up so. Raises FileGone,
    NoImages and ImagesTooLarge."""
    if not file_ids:
        return ()
    query = sa.select(files).where(files.c.user_id == user, files.c.id.in_(file_ids))
    rows = {row.id: row for row in connection.execute(query)}
    if set(file_ids) - rows.keys():
        raise FileGone
    found = tuple(_attached(rows[file_id]) for file_id in dict.fromkeys(file_ids))
    images = [file.bytes for file in found if file.kind == "image"]
    if images and not all(setup.images for setup in setups):
        raise NoImages
    if sum(images) > IMAGE_BYTES:
        raise ImagesTooLarge
    return found


def _attached(row: sa.Row[Any]) -> AttachedFile:
    words = row.content.decode() if row.kind == "text" else ""
    return AttachedFile(id=row.id, kind=row.kind, name=row.name, bytes=len(row.content), text=words)


def _read(connection: sa.Connection, which: sa.ColumnElement[bool]) -> KeptFile | None:
    row = connection.execute(sa.select(files.c.name, files.c.type, files.c.content).where(which)).first()
    return KeptFile(row.name, row.type, row.content) if row else None


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
