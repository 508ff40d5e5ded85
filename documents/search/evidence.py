"""Whether a store with vectors probably knows of what was asked: words and meaning, weighed together."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Found(Protocol):
    """A hit, as far as it is weighed here."""

    @property
    def relevance(self) -> float: ...
    @property
    def similarity(self) -> float | None: ...


class Evidence(msgspec.Struct, frozen=True):
    """What a store has measured on itself (see documents.search.calibration)."""

    relevance_scale: float
    """One standard deviation of the relevance of what does not answer."""
    similarity_scale: float
    """The same of the similarity."""
    least: float
    """The least sum of relevance and similarity in these units; below it the store probably does not know."""

    def weight(self, hits: Sequence[Found]) -> float:
        """The sum, in those units, of the highest relevance and the highest similarity among the hits."""
        relevance = max((hit.relevance for hit in hits), default=0.0)
        similarity = max((hit.similarity or 0.0 for hit in hits), default=0.0)
        return relevance / self.relevance_scale + similarity / self.similarity_scale
