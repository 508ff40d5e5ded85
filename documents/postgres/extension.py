"""Whether a PostgreSQL database has the extension pgvector, for whoever starts or examines a service."""

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from common.database import driver_url
from common.errors import UserError
from common.redact import redacted_url
from documents.postgres.database import SETTING

_ASKED = """
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
    EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')
"""


@dataclass(frozen=True)
class Pgvector:
    """What a database has of it."""

    version: str | None
    """None where the extension was not created in this database."""
    available: bool
    """Whether the server has its files."""

    def told(self) -> str:
        """By whom vectors are compared."""
        if self.version is not None:
            return f"pgvector {self.version} in the database"
        if self.available:
            return (
                "the service, in its memory; the server has pgvector, but not in this database: "
                "an administrator may run CREATE EXTENSION vector"
            )
        return "the service, in its memory; the server has no pgvector"


def pgvector_at(url: str) -> Pgvector:
    """Nothing is changed there. Raises UserError where the database does not answer."""
    return asyncio.run(_asked(url))


async def _asked(url: str) -> Pgvector:
    try:
        engine = create_async_engine(driver_url(url, SETTING))
    except ModuleNotFoundError as error:
        raise UserError(
            "The driver for PostgreSQL is not installed.", hint="pip install 'kodolly[postgres]'"
        ) from error
    try:
        async with engine.connect() as connection:
            row = (await connection.execute(sa.text(_ASKED))).one()
    except (SQLAlchemyError, OSError) as error:
        raise UserError(
            f"The database {redacted_url(url)} does not answer: {getattr(error, 'orig', None) or error}.",
            hint=f"Check the server that {SETTING} names.",
        ) from error
    finally:
        await engine.dispose()
    return Pgvector(row[0], row[1])
