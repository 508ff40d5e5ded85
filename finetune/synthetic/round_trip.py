"""Whether a question finds its own passage: one that finds others first is too vague."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from documents.chunks import chunks_of
from documents.search.store import Store, open_store
from finetune.synthetic.passages import Reading, SourcePassage

WITHIN = 5
"""The rank that a question's own passage must reach in the search."""


@contextmanager
def indexed(reading: Reading, size: int) -> Iterator["RoundTrip"]:
    """Index all documents in a temporary store until the block ends; size: most characters of a passage."""
    with (
        tempfile.TemporaryDirectory(prefix="kodolly-rows-") as folder,
        open_store(Path(folder) / "rows.db", create=True) as store,
    ):
        for source, document in reading.documents:
            store.add(source, document, chunks_of(document, size), size)
        yield RoundTrip(store, {passage.text: passage for passage in reading.passages})


class RoundTrip:
    """Searches the index for the passages of questions."""

    def __init__(self, store: Store, passages: dict[str, SourcePassage]) -> None:
        self._store = store
        self._passages = passages

    def finds(self, question: str, passage: SourcePassage) -> bool:
        """Whether the passage is among the first WITHIN results for the question."""
        return any(hit.text == passage.text for hit in self._store.search(question, WITHIN))

    def others(self, question: str, passage: SourcePassage, most: int) -> list[SourcePassage]:
        """The first `most` other passages that the search finds for the question, best first."""
        hits = self._store.search(question, most + 1)
        found = [self._passages[hit.text] for hit in hits if hit.text in self._passages]
        return [other for other in found if other.text != passage.text][:most]
