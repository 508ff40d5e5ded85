"""The one owner of vectors: each chunk of the served stores gets one, by the embedding model that is set.

What is to be done is what the stores lack, so a restart goes on where it was. While the model is away nothing
waits for it: chunks are found by their words.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from common.errors import ApiError, UserError
from documents.search.calibration import calibrate_both
from documents.search.store import Store
from documents.search.vectors import VectorCache, VectorSource
from documents.service.bindings import bindings
from documents.service.pooling import BATCH_S, PoolingModels
from documents.service.settings import DocumentsSettings
from documents.service.storage import Storage

if TYPE_CHECKING:
    from documents.search.vectors import Floats

logger = logging.getLogger(__name__)

BATCH = 16
"""How many passages one request holds: the question of a search waits for no more than these."""
LOOK_EVERY_S = 30.0
"""How soon another checkpoint behind the model's name, or a worker that is back, is seen."""
STOP_S = 2.0
PROBE = "안녕하세요"
"""What is embedded to learn which checkpoint answers."""


class Embedder:
    """A thread from `start` to `stop`; none where the settings name no embedding model."""

    def __init__(
        self,
        settings: DocumentsSettings,
        storage: Storage,
        models: PoolingModels,
        cache: VectorCache,
    ) -> None:
        self._wanted = settings.embedding_model is not None
        self._storage, self._models, self._cache = storage, models, cache
        self._waking = threading.Event()
        self._stopping = False
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name="embedding documents", daemon=True)

    def start(self) -> None:
        """Begin with what an earlier process has left."""
        if self._wanted:
            self._thread.start()

    def stop(self) -> None:
        """Whatever is under way goes on after the next start."""
        self._stopping = True
        self._waking.set()
        if self._wanted:
            self._thread.join(STOP_S)

    def wake(self) -> None:
        """Look for chunks without a vector: there may be new ones."""
        self._waking.set()

    def _run(self) -> None:
        while not self._stopping:
            self._waking.clear()
            try:
                with self._storage.catalogue.alone("embedding") as mine:
                    if mine:  # else another process does it
                        self._look()
                self._tell("")
            except ApiError as error:
                self._tell(str(error))
            except Exception:  # a full disk, say: what is to be done still stands in the stores
                if not self._stopping:
                    logger.exception("embedding failed; it is tried again")
            self._waking.wait(LOOK_EVERY_S)

    def _tell(self, trouble: str) -> None:
        """Log what has changed, once."""
        if trouble and trouble != self._trouble and not self._stopping:
            logger.warning("passages get no vectors now, and are found by words: %s", trouble)
        elif self._trouble and not trouble:
            logger.info("passages get vectors again")
        self._trouble = trouble

    def _look(self) -> None:
        source: VectorSource | None = None
        for name in self._stores():
            try:
                with self._storage.open(name) as store:
                    if not store.count_chunks():
                        continue
                    if source is None:
                        _, source = self._models.passages([PROBE])
                    self._fill(store, source)
            except UserError:
                if self._storage.has(name):  # else it was deleted meanwhile
                    logger.exception("the store %s got no vectors", name)

    def _stores(self) -> Iterator[str]:
        """Those of the service, and of the command line where a model is bound to it."""
        bound = [row["store"] for row in bindings(self._storage.catalogue)]
        for name in dict.fromkeys([*self._storage.vector_stores(), *bound]):
            if self._stopping:
                return
            if self._storage.has(name):
                yield name

    def _fill(self, store: Store, source: VectorSource) -> None:
        changed = store.vectors.begin(source)
        store.vectors.arrange()
        while not self._stopping and (batch := store.vectors.missing(BATCH)):
            rows, made = self._made([text for _, text in batch])
            if made != source:  # another worker answers: its vectors can't be compared with these
                return
            if not store.vectors.put(source, batch, rows):
                return
            changed = True
        if changed and not self._stopping:
            calibrate_both(store, lambda asked: self._models.questions(asked, BATCH_S), self._cache)

    def _made(self, texts: Sequence[str]) -> tuple["Floats", VectorSource]:
        """One that is refused gets a vector of zeros, which is near to nothing, and keeps no other from its
        own."""
        import numpy as np

        try:
            return self._models.passages(texts)
        except ApiError as error:
            if error.status not in (400, 413, 422):
                raise
            if len(texts) > 1:
                made = [self._made([text]) for text in texts]
                return np.concatenate([rows for rows, _ in made]), made[0][1]
            logger.warning("a passage was not embedded: %s", error)
            _, source = self._models.passages([PROBE])
            return np.zeros((1, source.dimensions), np.float32), source
