"""The passages from which a model with documents answers."""

import hashlib

from common.errors import InternalError, UserError
from documents.answers.passage import Passage
from documents.search.store import Hit
from documents.service.places import VECTOR_STORE
from documents.service.ranking import Ranking, ranked
from documents.service.service import Service

MOST_PASSAGES = 5


def passages_for(service: Service, store: str, question: str) -> tuple[list[Passage], Ranking]:
    """The best first; none where the store is empty or gone, or probably knows nothing of it. Raises
    InternalError where its index must be rebuilt."""
    if not service.storage.has(store):
        return [], Ranking()
    try:
        found = ranked(service, store, question, MOST_PASSAGES)
    except UserError as error:
        raise InternalError(str(error), code="index_unusable") from error
    if not found.known:
        return [], found.ranking
    if not store.startswith(VECTOR_STORE):
        return [_passage(hit, _id_of(hit.source), hit.name) for hit in found.hits], found.ranking
    rows = service.catalogue.rows(
        "SELECT attached.file, files.filename FROM attached JOIN files ON files.id = attached.file"
        " WHERE store = ? AND status = 'completed'",
        (store,),
    )
    names = {row["file"]: row["filename"] for row in rows}
    hits = [hit for hit in found.hits if hit.source in names]
    return [_passage(hit, hit.source, names[hit.source]) for hit in hits], found.ranking


def _passage(hit: Hit, file_id: str, filename: str) -> Passage:
    return Passage(file_id, filename, hit.text, hit.headings, hit.spans, hit.relevance, hit.problem)


def _id_of(source: str) -> str:
    """A file of the command line has no id; the same path gets the same one."""
    return f"file-{hashlib.sha256(source.encode()).hexdigest()[:24]}"
