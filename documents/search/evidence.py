"""Whether a store with vectors probably knows of what was asked: words and meaning, weighed together."""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Found(Protocol):
    """What was found, as far as it matters here."""

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
    """Of the sum of both in these units; below it the store probably does not know."""

    def weight(self, hits: Sequence[Found]) -> float:
        """Of the most relevant and the most similar of what was found."""
        relevance = max((hit.relevance for hit in hits), default=0.0)
        similarity = max((hit.similarity or 0.0 for hit in hits), default=0.0)
        return relevance / self.relevance_scale + similarity / self.similarity_scale
