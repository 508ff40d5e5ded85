"""/v1/uploads (https://platform.openai.com/docs/api-reference/uploads): a file that is too large for one
request, in parts. No part is larger than a file of `/v1/files`, so nobody holds more than that on the way."""

from typing import Annotated, Any

from fastapi import APIRouter, UploadFile
from pydantic import Field

from common.documents_service import MOST_FILE_BYTES, UPLOAD_BYTES, UPLOAD_S
from common.doors import door
from common.errors import BadRequest, NotFound, PayloadTooLarge
from documents.service.catalogue import Catalogue, Row
from documents.service.files import (
    LEAST_LIFE_S,
    LONGEST_LIFE_S,
    file_object,
    plain_name,
    require_room,
    require_size,
)
from documents.service.service import OWNS, Owner, OwnerDep, Service, ServiceDep, new_id, now
from documents.service.wire import Id, Purpose, RequestBody

router = APIRouter(prefix="/v1/uploads", tags=["files"])
LIFE_S = 3600
"""How long an upload that is not complete is kept, in seconds, as OpenAI keeps it."""
MOST_PARTS = 2000


class FileLife(RequestBody):
    """After so many seconds the file is deleted."""

    anchor: str
    seconds: int = Field(ge=LEAST_LIFE_S, le=LONGEST_LIFE_S)


class NewUpload(RequestBody):
    """A file to come."""

    bytes: int = Field(ge=1)
    filename: Annotated[str, Field(max_length=4096)]
    purpose: Purpose
    expires_after: FileLife | None = None


class CompletedUpload(RequestBody):
    """The parts of the file, in order."""

    part_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_PARTS)]
    md5: str | None = None


@router.post("")
@door("key")
def begin(asked: NewUpload, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Begin a file. Parts are taken for an hour."""
    require_size(service, asked.bytes)
    created = now()
    row: Row = {
        "id": new_id("upload_"),
        "owner": owner.id,
        "filename": plain_name(asked.filename),
        "bytes": asked.bytes,
        "purpose": asked.purpose,
        "status": "pending",
        "created_at": created,
        "expires_at": created + LIFE_S,
        "life_s": asked.expires_after.seconds if asked.expires_after is not None else None,
    }
    with service.catalogue.transaction():
        require_room(service, owner.id, asked.bytes)
        service.catalogue.insert("uploads", row)
    return upload_object(row)


@router.post("/{upload_id}/parts")
@door("key", content="form", body_bytes=UPLOAD_BYTES, body_s=UPLOAD_S)
def add_part(upload_id: str, data: UploadFile, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Add a part; several may come at the same time."""
    content = data.file.read(MOST_FILE_BYTES + 1)
    if len(content) > MOST_FILE_BYTES:
        raise PayloadTooLarge(f"A part may have {MOST_FILE_BYTES // 2**20} MiB.", param="data")
    part = {"id": new_id("part_"), "upload": upload_id, "bytes": len(content), "created_at": now()}
    with service.catalogue.transaction():
        row = _pending(service.catalogue, owner, upload_id)
        found = service.catalogue.row(
            "SELECT count(*) AS parts, coalesce(sum(bytes), 0) AS bytes FROM parts WHERE upload = ?",
            (upload_id,),
        )
        assert found is not None
        if found["bytes"] + len(content) > row["bytes"] or found["parts"] >= MOST_PARTS:
            raise BadRequest(
                f"The parts have more than the {row['bytes']:,} bytes of the upload.",
                param="data",
                code="invalid_value",
            )
        service.storage.keep_part(part, content)
    return {
        "id": part["id"],
        "object": "upload.part",
        "created_at": part["created_at"],
        "upload_id": upload_id,
    }


@router.post("/{upload_id}/complete")
@door("key")
def complete(upload_id: str, asked: CompletedUpload, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Make one file of the parts."""
    with service.catalogue.transaction():
        row = _pending(service.catalogue, owner, upload_id)
        sizes = {
            one["id"]: one["bytes"]
            for one in service.catalogue.rows("SELECT id, bytes FROM parts WHERE upload = ?", (upload_id,))
        }
        if len(set(asked.part_ids)) < len(asked.part_ids) or not sizes.keys() >= set(asked.part_ids):
            raise BadRequest(
                "part_ids names the parts of this upload, each once.", param="part_ids", code="invalid_value"
            )
        if (total := sum(sizes[one] for one in asked.part_ids)) != row["bytes"]:
            raise BadRequest(
                f"The parts have {total:,} bytes, the upload {row['bytes']:,}.",
                param="part_ids",
                code="invalid_value",
            )
        file = _file(row)
        md5 = service.storage.keep_joined(file, asked.part_ids)
        if asked.md5 and asked.md5.lower() != md5:
            raise BadRequest("The parts have another MD5 than this.", param="md5", code="invalid_value")
        _end(service, upload_id, "completed")
    return upload_object(row | {"status": "completed"}) | {"file": file_object(file)}


@router.post("/{upload_id}/cancel")
@door("key")
def cancel(upload_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Give it up."""
    with service.catalogue.transaction():
        row = _pending(service.catalogue, owner, upload_id)
        _end(service, upload_id, "cancelled")
    return upload_object(row | {"status": "cancelled"})


def _end(service: Service, upload_id: str, status: str) -> None:
    parts = service.catalogue.rows("SELECT id FROM parts WHERE upload = ?", (upload_id,))
    service.catalogue.change("UPDATE uploads SET status = ? WHERE id = ?", (status, upload_id))
    service.catalogue.change("DELETE FROM parts WHERE upload = ?", (upload_id,))
    service.storage.forget_parts([one["id"] for one in parts])


def _pending(catalogue: Catalogue, owner: Owner, upload_id: str) -> Row:
    """Raises NotFound, and BadRequest for one that takes no parts any more."""
    row = catalogue.row(
        f"SELECT * FROM uploads AS t WHERE id = ? AND {OWNS}",  # noqa: S608
        (upload_id, *owner.values()),
    )
    if row is None:
        raise NotFound(f"There is no upload {upload_id!r}.", param="upload_id")
    if row["status"] != "pending" or row["expires_at"] <= now():
        status = row["status"] if row["status"] != "pending" else "expired"
        raise BadRequest(f"The upload is {status}.", param="upload_id", code="invalid_value")
    return row


def _file(row: Row) -> Row:
    """The file's row of an upload."""
    created = now()
    return {
        "id": new_id("file-"),
        **{name: row[name] for name in ("owner", "filename", "bytes", "purpose")},
        "created_at": created,
        "expires_at": created + row["life_s"] if row["life_s"] is not None else None,
    }


def upload_object(row: Row) -> dict[str, Any]:
    """OpenAI's upload."""
    return {
        "id": row["id"],
        "object": "upload",
        "bytes": row["bytes"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": row["status"],
        "file": None,
    }
