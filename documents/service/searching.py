"""Passages of a vector store that fit a question."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from common.errors import InternalError, UserError
from documents.search.store import Hit
from documents.service.catalogue import Row
from documents.service.ranking import Ranking, ranked
from documents.service.service import Service
from documents.service.wire import SearchRequest


@dataclass(frozen=True)
class SearchedPassage:
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
            "problem": self.hit.problem,
            "similarity": None if self.hit.similarity is None else round(self.hit.similarity, 4),
        }


@dataclass(frozen=True)
class SearchResult:
    """Passages, the best first, and what their order rests on."""

    passages: list[SearchedPassage]
    ranking: Ranking


def find(service: Service, store_id: str, asked: SearchRequest) -> SearchResult:
    """The best of one store. Raises InternalError where the index must be rebuilt."""
    files = _files(service, store_id)
    if asked.filters is not None:
        files = {
            file: row for file, row in files.items() if asked.filters.allows(json.loads(row["attributes"]))
        }
    if not files or not service.storage.has(store_id):
        return SearchResult([], Ranking())
    sources = None if asked.filters is None else [*files]
    try:
        found = [
            ranked(service, store_id, question, asked.max_num_results, sources)
            for question in asked.questions()
        ]
    except UserError as error:
        raise InternalError(
            error.message, hint="The service makes it anew after its start: try again.", code="index_unusable"
        ) from error
    least = asked.ranking_options.score_threshold
    parts = [
        SearchResult(
            [
                SearchedPassage(hit.source, row["filename"], json.loads(row["attributes"]), hit)
                for hit in one.hits
                if (row := files.get(hit.source)) is not None and hit.relevance >= least
            ],
            one.ranking,
        )
        for one in found
    ]
    return joined(parts, asked.max_num_results)


def joined(parts: Sequence[SearchResult], limit: int) -> SearchResult:
    """The best of several searches, each passage once. Scores are comparable where all were ranked by more
    than words, and alike; else the share of the question's words is."""
    ranking = reduce(Ranking.joined, (one.ranking for one in parts))
    if len(parts) == 1:
        return SearchResult(parts[0].passages[:limit], ranking)
    alike = len(ranking.by) > 1 and all(one.ranking.by == ranking.by for one in parts)
    best: dict[tuple[str, str], SearchedPassage] = {}
    for passage in (passage for one in parts for passage in one.passages):
        known = best.setdefault((passage.file_id, passage.hit.text), passage)
        if _order(passage.hit, alike) > _order(known.hit, alike):
            best[passage.file_id, passage.hit.text] = passage
    passages = sorted(best.values(), key=lambda one: _order(one.hit, alike), reverse=True)
    return SearchResult(passages[:limit], ranking)


def _order(hit: Hit, alike: bool) -> float:
    return hit.score if alike else hit.relevance


def _files(service: Service, store_id: str) -> dict[str, Row]:
    """Those that are indexed; one that was deleted a moment ago is not found any more."""
    rows = service.catalogue.rows(
        "SELECT attached.file, attached.attributes, files.filename FROM attached"
        " JOIN files ON files.id = attached.file WHERE store = ? AND status = 'completed'",
        (store_id,),
    )
    return {row["file"]: row for row in rows}
