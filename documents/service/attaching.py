"""Putting files into vector stores: rows for the indexer."""

import json
from collections.abc import Sequence

from common.errors import BadRequest
from documents.service.files import found_file
from documents.service.service import Owner, Service, now
from documents.service.wire import DEFAULT_TOKENS, NewBatch, NewFile


def attach(
    service: Service, owner: Owner, store_id: str, files: Sequence[NewFile], batch: str | None = None
) -> None:
    """All of them or none, and wake the indexer; one that is there already is read anew.

    Raises NotFound for a file that the owner has not got.
    """
    with service.catalogue.transaction():
        for file in files:
            found_file(service.catalogue, owner, file.file_id)
            service.catalogue.change(
                "DELETE FROM attached WHERE store = ? AND file = ?", (store_id, file.file_id)
            )
            strategy = file.chunking_strategy
            row = {
                "store": store_id,
                "file": file.file_id,
                "batch": batch,
                "status": "in_progress",
                "error_code": "",
                "error_message": "",
                "attributes": json.dumps(file.attributes or {}, ensure_ascii=False),
                "chunk_tokens": strategy.tokens() if strategy is not None else DEFAULT_TOKENS,
                "usage_bytes": 0,
                "created_at": now(),
            }
            service.catalogue.insert("attached", row)
    service.indexer.wake()


def files_of(asked: NewBatch) -> list[NewFile]:
    """Each file once, with what it has of its own or in common. Raises BadRequest."""
    if (asked.file_ids is None) == (asked.files is None):
        raise BadRequest("A batch takes either file_ids or files.", param="file_ids", code="invalid_value")
    files = asked.files or [
        NewFile(file_id=one, attributes=asked.attributes, chunking_strategy=asked.chunking_strategy)
        for one in asked.file_ids or []
    ]
    if not files:
        raise BadRequest("A batch takes one file at least.", param="file_ids", code="invalid_value")
    return list({file.file_id: file for file in files}.values())
