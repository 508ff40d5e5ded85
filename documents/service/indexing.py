"""The one owner of indexing: reads attached files one after another and puts them into their stores.

What is to be done stands in the catalogue, so a restart goes on where it was. A file that cannot be read
costs one line in its `last_error`.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from common.database import StoreFailed
from common.errors import UserError
from documents.chunks import chunks_of
from documents.read.file import ReadLimits, read_file_as
from documents.read.formats import readable_suffixes
from documents.search.calibration import calibrate
from documents.service.catalogue import Row
from documents.service.storage import Storage
from documents.service.wire import CHARACTERS_A_TOKEN

logger = logging.getLogger(__name__)

TIDY_EVERY_S = 60.0
LOOKED_AT = 20
"""How many of the files that wait are looked at together: other processes may be at the first."""
STOP_S = 2.0
"""How long a stop waits, in seconds; a file that is still being read then is read again after the next
start."""


class Indexer:
    """A thread from `start` to `stop`."""

    def __init__(self, storage: Storage, limits: ReadLimits, indexed: Callable[[], object]) -> None:
        """`indexed` is called after each file that is in its store."""
        self._storage, self._limits, self._indexed = storage, limits, indexed
        self._catalogue = storage.catalogue
        self._waking = threading.Event()
        self._stopping = False
        self._put_off: dict[int, float] = {}
        """Places of files that the database did not take, each with when it is tried again (monotonic)."""
        self._thread = threading.Thread(target=self._run, name="indexing documents", daemon=True)

    def start(self) -> None:
        """Begin with what an earlier process has left."""
        self._thread.start()

    def stop(self) -> None:
        """Whatever is under way goes on after the next start."""
        self._stopping = True
        self._waking.set()
        self._thread.join(STOP_S)

    def wake(self) -> None:
        """There is something to do."""
        self._waking.set()

    def _run(self) -> None:
        touched: set[str] | None = None
        while not self._stopping:
            self._waking.clear()
            try:
                if touched is None:
                    touched = self._renewed()
                while not self._stopping and (store := self._index_next()) is not None:
                    self._indexed()
                    touched.add(store)
                while touched and not self._stopping:
                    self._calibrate(touched.pop())
                self._tidy()
            except Exception:  # a full disk, say: what is to be done still stands in the catalogue
                if not self._stopping:
                    logger.exception("indexing failed; it is tried again")
            self._waking.wait(TIDY_EVERY_S)

    def _renewed(self) -> set[str]:
        """Stores whose index other rules had made, another version of MeCab say; it is made anew first."""
        renewed: set[str] = set()
        for name in self._storage.vector_stores():
            if self._stopping:
                break
            try:
                with self._storage.open(name) as store:
                    if store.renew():
                        renewed.add(name)
            except Exception:  # one broken store keeps no other from being served
                logger.exception("the index of the vector store %s could not be made anew", name)
        return renewed

    def _index_next(self) -> str | None:
        """Index the next file that no other process is at; returns its store, None where there is none."""
        waiting = (
            "SELECT attached.*, files.filename FROM attached JOIN files ON files.id = attached.file"
            " WHERE status = 'in_progress'"
        )
        now = time.monotonic()
        self._put_off = {place: until for place, until in self._put_off.items() if until > now}
        most = LOOKED_AT + len(self._put_off)
        for place in self._catalogue.rows(f"{waiting} ORDER BY attached.place LIMIT {most}"):
            if place["place"] in self._put_off:
                continue
            with self._catalogue.alone(f"attached {place['place']}") as mine:
                found = self._catalogue.rows(f"{waiting} AND attached.place = ?", (place["place"],))
                for row in found if mine else ():  # else another process has it, or was faster
                    self._index(row)
                    return str(row["store"])
        return None

    def _index(self, row: Row) -> None:
        filename = row["filename"]
        try:
            used = self._put_in(row, filename)
            outcome = ("completed", "", "", used)
        except UserError as error:
            known = Path(filename.lower()).suffix in readable_suffixes(ocr=self._limits.ocr)
            outcome = ("failed", "invalid_file" if known else "unsupported_file", str(error), 0)
        except StoreFailed as error:  # it is tried again, and keeps no other file waiting
            logger.warning("the file %s could not be indexed, it is tried again: %s", row["file"], error)
            self._put_off[row["place"]] = time.monotonic() + TIDY_EVERY_S
            return
        except Exception:
            if self._stopping:
                return
            logger.exception("the file %s could not be indexed", row["file"])
            outcome = ("failed", "server_error", "The server met an unexpected error.", 0)
        with self._catalogue.transaction():
            noted = self._catalogue.change(
                "UPDATE attached SET status = ?, error_code = ?, error_message = ?, usage_bytes = ?"
                " WHERE place = ? AND status = 'in_progress'",
                (*outcome, row["place"]),
            )
            if not noted:  # taken out, or cancelled, while it was read
                self._take_out(row["store"], row["file"])

    def _put_in(self, row: Row, filename: str) -> int:
        """Index one file; returns the bytes of its text. Raises UserError."""
        size = max(1, int(row["chunk_tokens"] * CHARACTERS_A_TOKEN))
        with self._storage.readable(row["file"], filename) as path:
            document = read_file_as(filename, path, self._limits)
        if not document.characters:
            problem = next((page.problem for page in document.pages if page.problem), "it holds no text")
            raise UserError(f"{filename} cannot be read: {problem}.")
        chunks = chunks_of(document, size)
        with self._storage.open(row["store"], create=True) as store:
            store.add(row["file"], document, chunks, size)
        return sum(len(chunk.text.encode()) for chunk in chunks)

    def _calibrate(self, store_id: str) -> None:
        if self._storage.has(store_id):
            with self._storage.open(store_id) as store:
                calibrate(store)

    def _take_out(self, store_id: str, file_id: str) -> None:
        if self._catalogue.row("SELECT 1 FROM stores WHERE id = ?", (store_id,)) is None:
            self._storage.remove(store_id)
            return
        again = "SELECT 1 FROM attached WHERE store = ? AND file = ?"
        if self._catalogue.row(again, (store_id, file_id)) is None and self._storage.has(store_id):
            with self._storage.open(store_id) as store:
                store.remove(file_id)

    def _tidy(self) -> None:
        """Files whose time has come go; what a killed process has left on disk goes, too."""
        at = int(time.time())
        for row in self._catalogue.rows("SELECT id, filename FROM files WHERE expires_at <= ?", (at,)):
            self.remove_file(row["id"], row["filename"])
        self._catalogue.change("DELETE FROM uploads WHERE expires_at <= ?", (at,))
        with self._catalogue.transaction():
            known = {
                row["id"] for row in self._catalogue.rows("SELECT id FROM files UNION SELECT id FROM parts")
            }
            stores = {row["id"] for row in self._catalogue.rows("SELECT id FROM stores")}
            self._storage.tidy(known, stores)

    def remove_file(self, file_id: str, filename: str) -> None:
        """Out of the catalogue, every store and the disk."""
        with self._catalogue.transaction():
            stores = self._catalogue.rows("SELECT store FROM attached WHERE file = ?", (file_id,))
            self._catalogue.change("DELETE FROM files WHERE id = ?", (file_id,))
            for row in stores:
                self._take_out(row["store"], file_id)
        self._storage.forget(file_id, filename)
