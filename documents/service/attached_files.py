"""/v1/vector_stores/{id}/files and /file_batches
(https://platform.openai.com/docs/api-reference/vector-stores-files)."""

import json
from typing import Any, Literal

from fastapi import APIRouter

from common.doors import door
from common.errors import NotFound
from documents.search.stored import StoredPage
from documents.service.attaching import attach, files_of
from documents.service.catalogue import Catalogue, Row
from documents.service.listing import Listing, PageDep, PageRequest, list_object, page_of
from documents.service.service import OwnerDep, Service, ServiceDep, new_id, now
from documents.service.vector_stores import counts, own_store, readable_store
from documents.service.wire import ChangedFile, NewBatch, NewFile, chunking_object

router = APIRouter(prefix="/v1/vector_stores/{store_id}", tags=["vector stores"])
Status = Literal["in_progress", "completed", "failed", "cancelled"]


@router.post("/files")
@door("key")
def add_file(store_id: str, asked: NewFile, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Put a file into the store; it is indexed in the background."""
    own_store(service.catalogue, owner, store_id)
    attach(service, owner, store_id, [asked])
    return attached_object(attached(service.catalogue, store_id, asked.file_id))


@router.get("/files")
@door("key")
def list_attached(
    store_id: str, service: ServiceDep, owner: OwnerDep, page: PageDep, filter: Status | None = None
) -> dict[str, Any]:
    """Its files."""
    readable_store(service.catalogue, owner, store_id)
    return _page(service, "t.store = ?", [store_id], filter, page)


@router.get("/files/{file_id}")
@door("key")
def get_attached(store_id: str, file_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """One of them, with why it could not be read."""
    readable_store(service.catalogue, owner, store_id)
    return attached_object(attached(service.catalogue, store_id, file_id))


@router.post("/files/{file_id}")
@door("key")
def change_attached(
    store_id: str, file_id: str, asked: ChangedFile, service: ServiceDep, owner: OwnerDep
) -> dict[str, Any]:
    """Give it other attributes."""
    own_store(service.catalogue, owner, store_id)
    row = attached(service.catalogue, store_id, file_id)
    row["attributes"] = json.dumps(asked.attributes or {}, ensure_ascii=False)
    service.catalogue.change(
        "UPDATE attached SET attributes = ? WHERE place = ?", (row["attributes"], row["place"])
    )
    return attached_object(row)


@router.delete("/files/{file_id}")
@door("key")
def take_out(store_id: str, file_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Take it out of the store; the file stays."""
    own_store(service.catalogue, owner, store_id)
    row = attached(service.catalogue, store_id, file_id)
    with service.catalogue.transaction():
        service.catalogue.change("DELETE FROM attached WHERE place = ?", (row["place"],))
        if service.storage.has(store_id):
            with service.storage.open(store_id) as store:
                store.remove(file_id)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.get("/files/{file_id}/content")
@door("key")
def attached_content(store_id: str, file_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """What was read of it, page by page; ours is `problem`, of a page whose text is doubtful."""
    readable_store(service.catalogue, owner, store_id)
    row = attached(service.catalogue, store_id, file_id)
    pages: list[StoredPage] = []
    if row["status"] == "completed" and service.storage.has(store_id):
        with service.storage.open(store_id) as store:
            pages = store.pages(file_id)
    return {
        "object": "vector_store.file_content.page",
        "data": [
            {"type": "text", "text": page.text} | ({"problem": page.problem} if page.problem else {})
            for page in pages
        ],
        "has_more": False,
        "next_page": None,
    }


@router.post("/file_batches")
@door("key")
def add_batch(store_id: str, asked: NewBatch, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Put several files into the store."""
    own_store(service.catalogue, owner, store_id)
    row: Row = {"id": new_id("vsfb_"), "store": store_id, "created_at": now(), "cancelled": 0}
    with service.catalogue.transaction():
        service.catalogue.insert("batches", row)
        attach(service, owner, store_id, files_of(asked), row["id"])
    return batch_object(service.catalogue, row)


@router.get("/file_batches/{batch_id}")
@door("key")
def get_batch(store_id: str, batch_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """How far it is."""
    readable_store(service.catalogue, owner, store_id)
    return batch_object(service.catalogue, _batch(service.catalogue, store_id, batch_id))


@router.post("/file_batches/{batch_id}/cancel")
@door("key")
def cancel_batch(store_id: str, batch_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Leave out what is not indexed yet."""
    own_store(service.catalogue, owner, store_id)
    row = _batch(service.catalogue, store_id, batch_id)
    with service.catalogue.transaction():
        service.catalogue.change("UPDATE batches SET cancelled = 1 WHERE id = ?", (batch_id,))
        service.catalogue.change(
            "UPDATE attached SET status = 'cancelled' WHERE batch = ? AND status = 'in_progress'", (batch_id,)
        )
    return batch_object(service.catalogue, row | {"cancelled": 1})


@router.get("/file_batches/{batch_id}/files")
@door("key")
def list_batch(
    store_id: str,
    batch_id: str,
    service: ServiceDep,
    owner: OwnerDep,
    page: PageDep,
    filter: Status | None = None,
) -> dict[str, Any]:
    """Its files."""
    readable_store(service.catalogue, owner, store_id)
    _batch(service.catalogue, store_id, batch_id)
    return _page(service, "t.store = ? AND t.batch = ?", [store_id, batch_id], filter, page)


def _page(
    service: Service, where: str, values: list[str], status: Status | None, page: PageRequest
) -> dict[str, Any]:
    if status is not None:
        where, values = f"{where} AND t.status = ?", [*values, status]
    rows, more = page_of(service.catalogue, Listing("attached AS t", where, values, "t.file"), page)
    return list_object([attached_object(row) for row in rows], more)


def attached(catalogue: Catalogue, store_id: str, file_id: str) -> Row:
    """Raises NotFound."""
    row = catalogue.row("SELECT * FROM attached WHERE store = ? AND file = ?", (store_id, file_id))
    if row is None:
        raise NotFound(f"There is no file {file_id!r} in this vector store.", param="file_id")
    return row


def _batch(catalogue: Catalogue, store_id: str, batch_id: str) -> Row:
    row = catalogue.row("SELECT * FROM batches WHERE store = ? AND id = ?", (store_id, batch_id))
    if row is None:
        raise NotFound(f"There is no batch {batch_id!r} in this vector store.", param="batch_id")
    return row


def attached_object(row: Row) -> dict[str, Any]:
    """OpenAI's vector store file."""
    error = {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None
    return {
        "id": row["file"],
        "object": "vector_store.file",
        "usage_bytes": row["usage_bytes"],
        "created_at": row["created_at"],
        "vector_store_id": row["store"],
        "status": row["status"],
        "last_error": error,
        "chunking_strategy": chunking_object(row["chunk_tokens"]),
        "attributes": json.loads(row["attributes"]),
    }


def batch_object(catalogue: Catalogue, row: Row) -> dict[str, Any]:
    """OpenAI's batch. A file that is put in again, or deleted, belongs to it no more."""
    counted = catalogue.rows(
        "SELECT status, count(*) AS files FROM attached WHERE batch = ? GROUP BY status", (row["id"],)
    )
    found = counts({one["status"]: one["files"] for one in counted})
    status = "in_progress" if found["in_progress"] else "completed"
    if found["failed"] and found["failed"] == found["total"]:
        status = "failed"
    return {
        "id": row["id"],
        "object": "vector_store.files_batch",
        "created_at": row["created_at"],
        "vector_store_id": row["store"],
        "status": "cancelled" if row["cancelled"] else status,
        "file_counts": found,
    }
