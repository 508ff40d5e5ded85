"""Open what the service keeps: below the state directory, or in PostgreSQL."""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError
from common.private_files import make_state_directory
from documents.service.exchange import finish_exchange
from documents.service.places import Places
from documents.service.storage import DiskStorage, Storage

if TYPE_CHECKING:
    from documents.service.postgres_storage import PostgresStorage


def open_storage(state_dir: Path, database_url: str | None) -> Storage:
    """To be closed. Raises UserError where it cannot be opened."""
    if database_url is not None:
        return open_postgres(database_url)
    make_state_directory(state_dir)
    places = Places(state_dir / "documents" / "service")
    try:
        finish_exchange(places.root.parent)
        places.make()
    except OSError as error:
        raise UserError(
            f"{places.root} cannot be written: {error.strerror or error}.",
            hint="Free some disk, or choose another place with KODOLLY_STATE_DIR.",
        ) from error
    return DiskStorage(places)


def open_postgres(database_url: str) -> "PostgresStorage":
    """That of PostgreSQL; the driver is loaded for this alone. Raises UserError."""
    from documents.postgres.database import require_postgres
    from documents.service.postgres_storage import PostgresStorage

    require_postgres(database_url)
    return PostgresStorage(database_url)
