"""/v1/files (https://platform.openai.com/docs/api-reference/files)."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, UploadFile
from fastapi.responses import FileResponse, Response

from common.documents_service import MOST_FILE_BYTES, UPLOAD_BYTES, UPLOAD_S
from common.doors import door
from common.errors import BadRequest, NotFound, PayloadTooLarge
from common.normal_form import nfc
from documents.service.catalogue import Catalogue, Row
from documents.service.listing import Listing, Order, PageRequest, list_object, page_of
from documents.service.service import OWNS, Owner, OwnerDep, Service, ServiceDep, new_id, now
from documents.service.wire import Purpose

router = APIRouter(prefix="/v1/files", tags=["files"])
LEAST_LIFE_S, LONGEST_LIFE_S = 3600, 2592000
LONGEST_NAME = 255
_SAVED = "application/octet-stream"


@router.post("")
@door("key", content="form", body_bytes=UPLOAD_BYTES, body_s=UPLOAD_S)
def upload(
    file: UploadFile,
    purpose: Annotated[Purpose, Form()],
    service: ServiceDep,
    owner: OwnerDep,
    anchor: Annotated[str | None, Form(alias="expires_after[anchor]")] = None,
    seconds: Annotated[
        int | None, Form(alias="expires_after[seconds]", ge=LEAST_LIFE_S, le=LONGEST_LIFE_S)
    ] = None,
) -> dict[str, Any]:
    """Keep a file. It is read when it is put into a vector store."""
    if (anchor or "created_at") != "created_at" or (anchor is None) != (seconds is None):
        raise BadRequest("expires_after takes the anchor created_at and seconds.", param="expires_after")
    content = file.file.read(MOST_FILE_BYTES + 1)
    if len(content) > MOST_FILE_BYTES:
        raise PayloadTooLarge(
            f"A file may have {MOST_FILE_BYTES // 2**20} MiB in one request.",
            hint="/v1/uploads takes a larger one in parts.",
            param="file",
        )
    require_size(service, len(content))
    if not content:
        raise BadRequest("The file is empty.", param="file", code="invalid_value")
    created = now()
    row = {
        "id": new_id("file-"),
        "owner": owner.id,
        "filename": plain_name(file.filename or ""),
        "bytes": len(content),
        "purpose": purpose,
        "created_at": created,
        "expires_at": created + seconds if seconds is not None else None,
    }
    _keep(service, row, content)
    return file_object(row)


def _keep(service: Service, row: Row, content: bytes) -> None:
    """Raises BadRequest where the owner has too much."""
    with service.catalogue.transaction():  # no tidying comes between
        require_room(service, row["owner"], row["bytes"])
        service.storage.keep(row, content)


def require_size(service: Service, size: int) -> None:
    """Raises PayloadTooLarge."""
    most = service.settings.max_file_bytes
    if size > most:
        raise PayloadTooLarge(
            f"A file may have {most:,} bytes.",
            hint="Split it, or raise documents.max_file_bytes.",
            param="bytes",
        )


def require_room(service: Service, owner: str, size: int) -> None:
    """Raises BadRequest where the owner has too much; what others of its uploads are to have counts, too."""
    used = service.catalogue.row(
        "SELECT (SELECT coalesce(sum(bytes), 0) FROM files WHERE owner = ?) + (SELECT coalesce(sum(bytes), 0)"
        " FROM uploads WHERE owner = ? AND status = 'pending') AS bytes",
        (owner, owner),
    )
    assert used is not None
    if used["bytes"] + size > service.settings.quota_bytes:
        raise BadRequest(
            f"All files of a key may have {service.settings.quota_bytes:,} bytes together.",
            hint="Delete some, or raise documents.quota_bytes.",
            code="storage_quota_exceeded",
        )


def plain_name(given: str) -> str:
    """Without directories and control characters; NFC."""
    name = nfc(given).replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if letter.isprintable()).strip()
    if len(name) > LONGEST_NAME:
        suffix = Path(name).suffix[:20]
        name = name[: LONGEST_NAME - len(suffix)] + suffix
    return name or "file"


@router.get("")
@door("key")
def list_files(
    service: ServiceDep,
    owner: OwnerDep,
    purpose: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Order = "desc",
    after: str | None = None,
) -> dict[str, Any]:
    """Files of the key that asks, of all keys for an administrator."""
    listed = Listing(
        "files AS t", f"{OWNS} AND (? = '' OR purpose = ?)", (*owner.values(), purpose or "", purpose or "")
    )
    rows, more = page_of(service.catalogue, listed, PageRequest(limit, order, after, None))
    return list_object([file_object(row) for row in rows], more)


@router.get("/{file_id}")
@door("key")
def get_file(file_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """One file."""
    return file_object(found_file(service.catalogue, owner, file_id))


@router.get("/{file_id}/content")
@door("key")
def get_content(file_id: str, service: ServiceDep, owner: OwnerDep) -> Response:
    """Its bytes, as something to be saved: a page of HTML must not run under the gateway's name."""
    row = found_file(service.catalogue, owner, file_id)
    content = service.storage.content(file_id, row["filename"])
    if isinstance(content, Path):
        return FileResponse(content, media_type=_SAVED, filename=row["filename"])
    # As FileResponse names a file (RFC 6266).
    name = f"attachment; filename*=utf-8''{quote(row['filename'], safe='')}"
    return Response(content, media_type=_SAVED, headers={"content-disposition": name})


@router.delete("/{file_id}")
@door("key")
def delete_file(file_id: str, service: ServiceDep, owner: OwnerDep) -> dict[str, Any]:
    """Delete it, also from all vector stores."""
    row = found_file(service.catalogue, owner, file_id)
    service.indexer.remove_file(file_id, row["filename"])
    return {"id": file_id, "object": "file", "deleted": True}


def found_file(catalogue: Catalogue, owner: Owner, file_id: str) -> Row:
    """Raises NotFound, also for a file of somebody else."""
    row = catalogue.row(f"SELECT * FROM files AS t WHERE id = ? AND {OWNS}", (file_id, *owner.values()))  # noqa: S608
    if row is None:
        raise NotFound(f"There is no file {file_id!r}.", param="file_id")
    return row


def file_object(row: Row) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": row["id"],
        "object": "file",
        "bytes": row["bytes"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "filename": row["filename"],
        "purpose": row["purpose"],
        "status": "processed",
        "status_details": None,
    }
