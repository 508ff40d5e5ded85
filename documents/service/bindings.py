"""Stores that are bound to models: `my-dolly@handbook` answers from `handbook`.

Whoever may use the model of that name may read what it quotes; the store's own rights do not matter then.
"""

import hashlib
import re

from common.errors import InternalError, NotFound, UserError
from documents.answers.passage import Passage
from documents.search.store import Hit, open_store
from documents.service.catalogue import Catalogue, Row
from documents.service.places import VECTOR_STORE, Places
from documents.service.service import Service, now

MOST_PASSAGES = 5
_NAME = re.compile(r"[^\s@]{1,90}")


def bind(catalogue: Catalogue, places: Places, model: str, store: str, name: str) -> str:
    """Offer `model@name`, answered from `store`; returns that. One of that name is replaced.

    Raises UserError for a store that is not there, and for names that cannot be.
    """
    if not _NAME.fullmatch(model) or not _NAME.fullmatch(name):
        raise UserError(
            f"{model}@{name} cannot be the name of a model.", hint="One @, no spaces, 90 letters each."
        )
    if store.startswith(VECTOR_STORE):
        known = catalogue.row("SELECT 1 FROM stores WHERE id = ?", (store,)) is not None
    else:
        known = places.bound_store(store).is_file()
    if not known:
        raise UserError(
            f"There is no store {store!r}.", hint="`kodolly documents add FILES --store NAME` makes one."
        )
    with catalogue.transaction():
        catalogue.change("DELETE FROM bindings WHERE name = ?", (f"{model}@{name}",))
        row: Row = {"name": f"{model}@{name}", "model": model, "store": store, "created_at": now()}
        catalogue.insert("bindings", row)
    return f"{model}@{name}"


def unbind(catalogue: Catalogue, name: str) -> bool:
    """Offer it no more; whether it was offered."""
    return catalogue.change("DELETE FROM bindings WHERE name = ?", (name,)) > 0


def bindings(catalogue: Catalogue) -> list[Row]:
    """All of them, by name."""
    return catalogue.rows("SELECT * FROM bindings ORDER BY name")


def binding(catalogue: Catalogue, name: str) -> Row:
    """Raises NotFound."""
    row = catalogue.row("SELECT * FROM bindings WHERE name = ?", (name,))
    if row is None:
        raise NotFound(f"The model {name!r} does not exist.", param="model", code="model_not_found")
    return row


def passages_for(service: Service, store: str, question: str) -> list[Passage]:
    """The best first; none where the store is empty or gone, or probably knows nothing of it. Raises
    InternalError where its index must be rebuilt."""
    path = service.places.bound_store(store)
    if not path.exists():
        return []
    try:
        with open_store(path) as opened:
            hits = opened.search(question, MOST_PASSAGES)
            least = opened.least_relevance()
    except UserError as error:
        raise InternalError(str(error), code="index_unusable") from error
    if max((hit.relevance for hit in hits), default=0.0) < least:
        return []
    if not store.startswith(VECTOR_STORE):
        return [_passage(hit, _id_of(hit.source), hit.name) for hit in hits]
    rows = service.catalogue.rows(
        "SELECT attached.file, files.filename FROM attached JOIN files ON files.id = attached.file"
        " WHERE store = ? AND status = 'completed'",
        (store,),
    )
    names = {row["file"]: row["filename"] for row in rows}
    return [_passage(hit, hit.source, names[hit.source]) for hit in hits if hit.source in names]


def _passage(hit: Hit, file_id: str, filename: str) -> Passage:
    return Passage(file_id, filename, hit.text, hit.headings, hit.spans, hit.relevance)


def _id_of(source: str) -> str:
    """A file of the command line has no id; the same path gets the same one."""
    return f"file-{hashlib.sha256(source.encode()).hexdigest()[:24]}"
