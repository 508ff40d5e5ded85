"""Who asks: without a login, a browser with a secret of its own in a cookie."""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from webui.store.forgetting import Forgotten, delete_rater
from webui.store.opening import PageDatabase
from webui.store.tables import settings, users


def user_of(token: str) -> str:
    """The user's id: a digest, so that who reads the database cannot be that user."""
    return hashlib.sha256(token.encode()).hexdigest()


_RATER_OF = sa.select(users.c.rater_id).where(users.c.id == sa.bindparam("user"))


def rater_in(connection: sa.Connection, user: str, wanted: str | None = None) -> str:
    """`Users.rater_id` in a transaction of the caller's."""
    known = connection.scalar(_RATER_OF, {"user": user})
    if known:
        return str(known)
    made = wanted or uuid.uuid4().hex
    try:
        with connection.begin_nested():
            row = {"id": user, "rater_id": made, "created": datetime.now(UTC)}
            connection.execute(sa.insert(users).values(row))
    except IntegrityError:  # another tab was first
        return str(connection.scalar(_RATER_OF, {"user": user}))
    return made


class Users:
    """Users and what they have set. Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def rater_id(self, user: str, wanted: str | None = None) -> str:
        """The random id that goes along with a user's votes; `wanted` becomes it when there is none yet."""

        return await self._database.run(lambda connection: rater_in(connection, user, wanted))

    async def setting(self, user: str, name: str) -> Any:
        """The JSON value kept under `name`; None when there is none."""
        of = (settings.c.user_id == user) & (settings.c.name == name)
        return await self._database.run(lambda c: c.scalar(sa.select(settings.c.value).where(of)))

    async def set(self, user: str, name: str, value: Any) -> None:
        """Keep `value`, JSON, under `name`."""
        of = (settings.c.user_id == user) & (settings.c.name == name)

        def work(connection: sa.Connection) -> None:
            keep = sa.update(settings).where(of).values(value=value)
            if connection.execute(keep).rowcount:
                return
            try:
                with connection.begin_nested():
                    row = {"user_id": user, "name": name, "value": value}
                    connection.execute(sa.insert(settings).values(row))
            except IntegrityError:  # another tab was first
                connection.execute(keep)

        await self._database.run(work)

    async def forget_rater(self, rater: str) -> Forgotten:
        """Delete all that is kept of whoever judges under this random id."""
        return await self._database.run(lambda connection: delete_rater(connection, rater))
