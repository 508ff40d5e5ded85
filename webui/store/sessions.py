"""Who is logged in, until when, and the store's half of their key."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

from webui.store.opening import PageDatabase
from webui.store.tables import sessions


@dataclass(frozen=True)
class LoginSession:
    """One login in one browser."""

    id: str
    """Digest of the secret in the browser's cookie."""
    user: str
    name: str
    admin: bool
    half: bytes = field(repr=False)
    """Worthless without the half in the cookie (`webui.login.key_halves`); empty without a key."""
    expires: datetime
    named: tuple[str, ...] = ()
    """What an OpenID Connect provider said, as far as the settings name it (`webui.login.oidc.roles`)."""


class Sessions:
    """Every method raises StoreFailed when the database does."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def begin(self, session: LoginSession) -> None:
        """Keep a new one, and forget those that have ended."""
        row = {
            "id": session.id,
            "user_id": session.user,
            "name": session.name,
            "admin": session.admin,
            "half": session.half,
            "expires": session.expires,
            "named": list(session.named),
        }

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(sessions).where(sessions.c.expires < datetime.now(UTC)))
            connection.execute(sa.insert(sessions).values(row))

        await self._database.run(work)

    async def find(self, session_id: str) -> LoginSession | None:
        """The one with this id, unless it has ended."""
        of = (sessions.c.id == session_id) & (sessions.c.expires > datetime.now(UTC))
        row = await self._database.run(lambda c: c.execute(sa.select(sessions).where(of)).first())
        if row is None:
            return None
        return LoginSession(
            row.id, row.user_id, row.name, row.admin, row.half, row.expires, tuple(row.named or ())
        )

    async def end(self, session_id: str) -> None:
        """Forget it. Nothing happens when there is none."""
        await self._database.run(lambda c: c.execute(sa.delete(sessions).where(sessions.c.id == session_id)))
