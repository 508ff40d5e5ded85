"""Hits of a store in their order: by words, by vectors where there are some, by the rerank model if there is
one.

A model that does not answer takes nothing from a search but its own say: the answer tells what it was
ranked by.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from common.errors import ApiError
from documents.search.calibration import knows
from documents.search.store import Hit, Store
from documents.service.service import Service

Signal = Literal["words", "vectors", "rerank"]
RERANKED = 20
"""How many of the best the rerank model looks at, where no more are asked for."""


@dataclass(frozen=True)
class Ranking:
    """What the order of some hits rests on."""

    by: tuple[Signal, ...] = ("words",)
    missing: dict[Signal, str] = field(default_factory=dict)
    """Signals that the settings ask for and that were not to be had, with the reason."""

    def wire(self) -> dict[str, Any]:
        """For an answer."""
        missing = [{"signal": signal, "reason": reason} for signal, reason in self.missing.items()]
        return {"ranked_by": list(self.by), "missing": missing}

    def joined(self, other: "Ranking") -> "Ranking":
        """What both rest on, for hits of several searches."""
        by = tuple(signal for signal in self.by if signal in other.by)
        return Ranking(by, self.missing | other.missing)


@dataclass(frozen=True)
class Ranked:
    """Hits, the best first."""

    hits: list[Hit]
    ranking: Ranking
    known: bool
    """Whether the store probably knows of what was asked (see documents.search.calibration)."""


def ranked(
    service: Service, name: str, question: str, limit: int, sources: Collection[str] | None = None
) -> Ranked:
    """The best `limit` of the store of this name. Raises UserError as `Store.search` does."""
    depth = limit if service.settings.rerank_model is None else max(limit, RERANKED)
    with service.storage.open(name) as store:
        found = _found(service, store, question, depth, sources)
    if service.settings.rerank_model is not None:
        found = _reranked(service, found, question)
    return replace(found, hits=found.hits[:limit])


def _found(
    service: Service, store: Store, question: str, limit: int, sources: Collection[str] | None
) -> Ranked:
    why = ""
    if service.settings.embedding_model is not None:
        try:
            hits = _by_both(service, store, question, limit, sources)
            if hits is not None:
                return Ranked(hits, Ranking(("words", "vectors")), knows(store, hits))
            why = "The passages' vectors are being made."
            service.embedder.wake()
        except ApiError as error:
            why = str(error)
    ranking = Ranking(missing={"vectors": why} if why else {})
    hits = store.search(question, limit, sources)
    return Ranked(hits, ranking, knows(store, hits))


def _by_both(
    service: Service, store: Store, question: str, limit: int, sources: Collection[str] | None
) -> list[Hit] | None:
    """None where the store has no vectors of this model yet."""
    source = store.vectors.source()
    if source is None or source.model != service.settings.embedding_model:
        return None
    (near,) = service.pooling.questions([question])
    return store.search_by_both(question, near, service.cache, limit, sources)


def _reranked(service: Service, found: Ranked, question: str) -> Ranked:
    ranking = found.ranking
    if not found.hits:
        return found
    try:
        scores = service.pooling.scores(question, [hit.text for hit in found.hits])
    except ApiError as error:
        return replace(found, ranking=replace(ranking, missing=ranking.missing | {"rerank": str(error)}))
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    hits = [replace(found.hits[at], score=scores[at]) for at in order]
    return replace(found, hits=hits, ranking=replace(ranking, by=(*ranking.by, "rerank")))
