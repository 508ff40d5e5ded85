"""What one documents service owns while it runs, and on whose behalf it is asked."""

import secrets
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from common.documents_service import OWNER_HEADER, SEES_ALL_HEADER
from common.errors import BadRequest
from documents.search.vectors import VectorCache
from documents.service.catalogue import Catalogue
from documents.service.embedder import Embedder
from documents.service.gateway_client import GatewayClient
from documents.service.indexing import Indexer
from documents.service.pooling import PoolingModels
from documents.service.settings import DocumentsSettings
from documents.service.storage import Storage


@dataclass(frozen=True)
class Owner:
    """The key on whose behalf the gateway asks."""

    id: str
    sees_all: bool = False

    def values(self) -> tuple[str, int]:
        """The parameters of `OWNS`."""
        return self.id, int(self.sees_all)


OWNS = "(t.owner = ? OR ? = 1)"
"""SQL: the row belongs to an Owner."""
MAY_READ = (
    "(t.owner = ? OR ? = 1 OR replace(t.shared_with, '\"' || ? || '\"', '') != t.shared_with"
    " OR replace(t.shared_with, '\"*\"', '') != t.shared_with)"
)
"""SQL: the store belongs to an Owner, or is shared with it: its id stands, quoted, in the JSON list."""


@dataclass(frozen=True)
class Service:
    """What the app's lifespan makes at the start and closes at the end."""

    settings: DocumentsSettings
    storage: Storage
    indexer: Indexer
    gateway: GatewayClient
    pooling: PoolingModels
    embedder: Embedder
    cache: VectorCache

    @property
    def catalogue(self) -> Catalogue:
        """What there is, and whose."""
        return self.storage.catalogue


def now() -> int:
    """Unix seconds."""
    return int(time.time())


def new_id(prefix: str) -> str:
    """An id that nobody can guess, as OpenAI's look."""
    return f"{prefix}{secrets.token_hex(12)}"


def get_service(request: Request) -> Service:
    """The process's one Service."""
    service: Service = request.app.state.service
    return service


def get_owner(request: Request) -> Owner:
    """Raises BadRequest where the gateway does not say who asks."""
    owner = request.headers.get(OWNER_HEADER, "")
    if not owner:
        raise BadRequest(f"The header {OWNER_HEADER} is missing.")
    return Owner(owner, request.headers.get(SEES_ALL_HEADER) == "1")


ServiceDep = Annotated[Service, Depends(get_service)]
OwnerDep = Annotated[Owner, Depends(get_owner)]
