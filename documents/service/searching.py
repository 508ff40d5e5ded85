"""Passages of a vector store that fit a question."""

import json
from dataclasses import dataclass
from typing import Any

from common.errors import InternalError, UserError
from documents.search.store import Hit, open_store
from documents.service.catalogue import Row
from documents.service.service import Service
from documents.service.wire import SearchRequest


@dataclass(frozen=True)
class Passage:
    """A passage of a file in a vector store."""

    file_id: str
    filename: str
    attributes: dict[str, Any]
    hit: Hit

    def wire(self) -> dict[str, Any]:
        """OpenAI's search result."""
        pages = [span.page for span in self.hit.spans if span.page is not None]
        return {
            "file_id": self.file_id,
            "filename": self.filename,
            "score": round(self.hit.relevance, 4),
            "attributes": self.attributes,
            "content": [{"type": "text", "text": self.hit.text}],
            "pages": list(dict.fromkeys(pages)),
            "headings": list(self.hit.headings),
        }


def find(service: Service, store_id: str, asked: SearchRequest) -> list[Passage]:
    """The best first. Raises InternalError where the index must be rebuilt."""
    files = _files(service, store_id)
    if asked.filters is not None:
        files = {
            file: row for file, row in files.items() if asked.filters.allows(json.loads(row["attributes"]))
        }
    path = service.places.store(store_id)
    if not files or not path.exists():
        return []
    sources = None if asked.filters is None else [*files]
    best: dict[tuple[str, str], Hit] = {}
    try:
        with open_store(path) as store:
            for question in asked.questions():
                for hit in store.search(question, asked.max_num_results, sources):
                    known = best.get((hit.source, hit.text))
                    if known is None or hit.relevance > known.relevance:
                        best[hit.source, hit.text] = hit
    except UserError as error:
        raise InternalError(
            error.message, hint="The service makes it anew after its start: try again.", code="index_unusable"
        ) from error
    least = asked.ranking_options.score_threshold
    hits = [hit for hit in best.values() if hit.relevance >= least]
    if len(asked.questions()) > 1:  # only then do ranks of several questions have to be joined
        hits.sort(key=lambda hit: -hit.relevance)
    return [
        Passage(hit.source, row["filename"], json.loads(row["attributes"]), hit)
        for hit in hits
        if (row := files.get(hit.source)) is not None
        and hit.relevance >= asked.ranking_options.score_threshold
    ][: asked.max_num_results]


def _files(service: Service, store_id: str) -> dict[str, Row]:
    """Those that are indexed; one that was deleted a moment ago is not found any more."""
    rows = service.catalogue.rows(
        "SELECT attached.file, attached.attributes, files.filename FROM attached"
        " JOIN files ON files.id = attached.file WHERE store = ? AND status = 'completed'",
        (store_id,),
    )
    return {row["file"]: row for row in rows}
