"""/v1/vector_stores (https://platform.openai.com/docs/api-reference/vector-stores)."""

import json
from typing import Any

from fastapi import APIRouter

from common.doors import door
from common.errors import BadRequest, NotFound
from documents.service.attaching import attach
from documents.service.catalogue import Catalogue, Row
from documents.service.listing import Listing, PageDep, list_object, page_of
from documents.service.searching import find
from documents.service.service import MAY_READ, OWNS, Owner, OwnerDep, ServiceDep, new_id, now
from documents.service.wire import ChangedStore, NewFile, NewStore, SearchRequest

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])
DAY_S = 86400
STATUSES = ("in_progress", "completed", "failed", "cancelled")


@router.post("")
@door("key")
def create_store(asked: NewStore, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Make a vector store, with files that are indexed in the background."""
    at = now()
    row: Row = {
        "id": new_id("vs_"),
        "owner": owner.id,
        "name": asked.name,
        "description": asked.description,
        "metadata": _json(asked.metadata or {}),
        "shared_with": _json(asked.shared_with),
        "created_at": at,
        "last_active_at": at,
        "expires_days": asked.expires_after.days if asked.expires_after else None,
    }
    files = [NewFile(file_id=one, chunking_strategy=asked.chunking_strategy) for one in asked.file_ids]
    with service.catalogue.transaction():
        service.catalogue.insert("stores", row)
        attach(service, owner, row["id"], files)
    return store_object(service.catalogue, row)


@router.get("")
@door("key")
def list_stores(service: ServiceDep, owner: OwnerDep, page: PageDep) -> dict[str, Any]:
    """Those that the key that asks has made or may read."""
    rows, more = page_of(
        service.catalogue, Listing("stores AS t", MAY_READ, (*owner.values(), owner.id)), page
    )
    return list_object([store_object(service.catalogue, row) for row in rows], more)


@router.get("/{store_id}")
@door("key")
def get_store(store_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """One of them."""
    return store_object(service.catalogue, readable_store(service.catalogue, owner, store_id))


@router.post("/{store_id}")
@door("key")
def change_store(store_id: str, asked: ChangedStore, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Change what is given."""
    row = own_store(service.catalogue, owner, store_id)
    given = asked.model_fields_set
    if "expires_after" in given:
        row["expires_days"] = asked.expires_after.days if asked.expires_after else None
    if "metadata" in given:
        row["metadata"] = _json(asked.metadata or {})
    if "shared_with" in given:
        row["shared_with"] = _json(asked.shared_with or [])
    row["name"] = row["name"] if asked.name is None else asked.name
    row["description"] = row["description"] if asked.description is None else asked.description
    changed = ("name", "description", "metadata", "shared_with", "expires_days")
    service.catalogue.change(
        "UPDATE stores SET name = ?, description = ?, metadata = ?, shared_with = ?, expires_days = ?"
        " WHERE id = ?",
        (*(row[name] for name in changed), store_id),
    )
    return store_object(service.catalogue, row)


@router.delete("/{store_id}")
@door("key")
def delete_store(store_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Delete it; its files stay."""
    own_store(service.catalogue, owner, store_id)
    with service.catalogue.transaction():
        service.catalogue.change("DELETE FROM stores WHERE id = ?", (store_id,))
        service.storage.remove(store_id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/{store_id}/search")
@door("key")
def search_store(store_id: str, asked: SearchRequest, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """The passages that fit best. `score` is the share of the question's words that a passage holds, rare
    ones counting more. Ours are `pages`, `headings`, `problem`, `similarity`, `ranked_by`, `missing`."""
    row = readable_store(service.catalogue, owner, store_id)
    require_living(row)
    found = find(service, row["id"], asked)
    service.catalogue.change("UPDATE stores SET last_active_at = ? WHERE id = ?", (now(), store_id))
    return {
        "object": "vector_store.search_results.page",
        "search_query": asked.questions(),
        "data": [one.wire() for one in found.passages],
        "has_more": False,
        "next_page": None,
        **found.ranking.wire(),
    }


def own_store(catalogue: Catalogue, owner: Owner, store_id: str) -> Row:
    """Raises NotFound, also for one that is only shared."""
    return _found(catalogue, OWNS, (store_id, *owner.values()), store_id)


def readable_store(catalogue: Catalogue, owner: Owner, store_id: str) -> Row:
    """Raises NotFound."""
    return _found(catalogue, MAY_READ, (store_id, *owner.values(), owner.id), store_id)


def _found(catalogue: Catalogue, where: str, values: tuple[str | int, ...], store_id: str) -> Row:
    row = catalogue.row(f"SELECT * FROM stores AS t WHERE id = ? AND {where}", values)  # noqa: S608
    if row is None:
        raise NotFound(f"There is no vector store {store_id!r}.", param="vector_store_id")
    return row


def require_living(row: Row) -> None:
    """Raises BadRequest for one whose time is over."""
    if _is_expired(row):
        raise BadRequest(
            f"The vector store {row['id']!r} has expired.",
            hint="Make a new one, or change its expires_after.",
            code="vector_store_expired",
        )


def _expires_at(row: Row) -> int | None:
    days = row["expires_days"]
    return None if days is None else int(row["last_active_at"] + days * DAY_S)


def _is_expired(row: Row) -> bool:
    at = _expires_at(row)
    return at is not None and at <= now()


def store_object(catalogue: Catalogue, row: Row) -> dict[str, Any]:
    """OpenAI's vector store."""
    counted = catalogue.rows(
        "SELECT status, count(*) AS files, sum(usage_bytes) AS bytes FROM attached WHERE store = ?"
        " GROUP BY status",
        (row["id"],),
    )
    status = "in_progress" if any(one["status"] == "in_progress" for one in counted) else "completed"
    days = row["expires_days"]
    return {
        "id": row["id"],
        "object": "vector_store",
        "created_at": row["created_at"],
        "name": row["name"],
        "description": row["description"],
        "usage_bytes": sum(one["bytes"] for one in counted),
        "file_counts": counts({one["status"]: one["files"] for one in counted}),
        "status": "expired" if _is_expired(row) else status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": _expires_at(row),
        "last_active_at": row["last_active_at"],
        "metadata": json.loads(row["metadata"]),
        "shared_with": json.loads(row["shared_with"]),
    }


def counts(by_status: dict[str, int]) -> dict[str, int]:
    """OpenAI's counts of files."""
    found = {status: by_status.get(status, 0) for status in STATUSES}
    return found | {"total": sum(found.values())}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
