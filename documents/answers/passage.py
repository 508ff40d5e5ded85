"""A passage as it is shown to a model and cited."""

from dataclasses import dataclass

from documents.chunks import Span


@dataclass(frozen=True)
class Passage:
    """One of those that are numbered for an answer."""

    file_id: str
    filename: str
    text: str
    headings: tuple[str, ...]
    spans: tuple[Span, ...]
    relevance: float
    """0 to 1, as in `Hit`."""
    problem: str = ""
    """As in `Hit`."""

    @property
    def pages(self) -> tuple[int, ...]:
        """On which it stands; empty where the document has no pages."""
        return tuple(dict.fromkeys(span.page for span in self.spans if span.page is not None))
