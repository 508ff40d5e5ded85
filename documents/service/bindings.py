"""Stores that are bound to models: `my-dolly@handbook` answers from `handbook`.

Whoever may use the model of that name may read what it quotes; the store's own rights do not matter then.
"""

import re
import time

from common.errors import NotFound, UserError
from documents.service.catalogue import Catalogue, Row
from documents.service.places import VECTOR_STORE
from documents.service.storage import Storage

_NAME = re.compile(r"[^\s@]{1,90}")


def bind(storage: Storage, model: str, store: str, name: str) -> str:
    """Offer `model@name`, answered from `store`; returns that. One of that name is replaced.

    Raises UserError for a store that is not there, and for names that cannot be.
    """
    if not _NAME.fullmatch(model) or not _NAME.fullmatch(name):
        raise UserError(
            f"{model}@{name} cannot be the name of a model.", hint="One @, no spaces, 90 letters each."
        )
    catalogue = storage.catalogue
    if store.startswith(VECTOR_STORE):
        known = catalogue.row("SELECT 1 FROM stores WHERE id = ?", (store,)) is not None
    else:
        known = storage.has(store)
    if not known:
        raise UserError(
            f"There is no store {store!r}.", hint="`kodolly documents add FILES --store NAME` makes one."
        )
    with catalogue.transaction():
        catalogue.change("DELETE FROM bindings WHERE name = ?", (f"{model}@{name}",))
        row: Row = {"name": f"{model}@{name}", "model": model, "store": store, "created_at": int(time.time())}
        catalogue.insert("bindings", row)
    return f"{model}@{name}"


def unbind(catalogue: Catalogue, name: str) -> bool:
    """Stop offering it; returns whether it was offered."""
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
