"""Which conversations are kept, on their way to the store: nothing of it stands in a request's way.

What an answer brings is remembered as it is (`recorded_client`). It is read in a thread once the answer has
ended, and written a second later, many at once. What finds no room is left out and counted.
"""

import asyncio
import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec.structs import replace

from common.database import StoreFailed
from common.documents_service import ON_BEHALF_ID
from common.feedback import JudgedAnswer, kept_id
from server.client.large_body import ThinBody
from server.client.request import header
from server.client.routes import Route
from server.inference.admission import AdmittedRequest, Incoming
from server.inference.conversation import KEEPING, NotKept, conversation
from server.inference.identity import SESSION_HEADER, rater_of
from server.inference.job import Job
from server.inference.recorded_client import LARGEST_BYTES, RecordedClient, Room
from server.record import RequestRecord
from server.store.conversations import ConversationStore
from server.store.owner import Owner
from server.store.tables import CHECKPOINT_LENGTH, MODEL_LENGTH

if TYPE_CHECKING:
    from server.client.protocol import ClientConnection

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
DELETE_EVERY_S = 3600.0
OUTCOMES = ("kept", "not_text", "asked_not_to", "too_large", "no_room", "store_failed")
"""What becomes of a conversation whose answer has ended well: the metric's label."""


class Recording(msgspec.Struct, frozen=True):
    """One request whose conversation may be kept."""

    log: "ConversationLog"
    client: RecordedClient
    route: Route
    body: ThinBody
    rater: str
    session: str

    def ended(self, record: RequestRecord, *, whole: bool) -> None:
        """The request is over. Only answers that the client has whole are kept."""
        if not whole:
            self.client.release()
        elif self.client.given_up:
            self.log.counts[self.client.given_up] += 1
        else:
            self.log.ended.append(EndedConversation(self, record, datetime.now(UTC)))


class EndedConversation(msgspec.Struct, frozen=True):
    """A conversation that is to be written."""

    recording: Recording
    record: RequestRecord
    at: datetime


class ConversationLog:
    """Of one process. `run` is its owner's task; `close` writes what is left."""

    def __init__(self, store: ConversationStore, days: float, room: Room | None = None) -> None:
        """Conversations are deleted after so many days."""
        self._store = store
        self._days = days
        self._room = room or Room()
        self.ended: list[EndedConversation] = []
        """Not written yet; their bytes are in the room."""
        self._writing = asyncio.Lock()
        self._failing = False
        self.counts: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        """Of OUTCOMES, since the start."""

    # -- for the relay ------------------------------------------------------------------------------

    def recorded(self, job: Job, incoming: Incoming, asked: AdmittedRequest) -> tuple[Job, Recording | None]:
        """The job of a request, its answer remembered on the way; as it is where the request is no
        conversation, or asked by the documents service within one that is kept as a whole."""
        if incoming.route not in KEEPING or job.key_id == ON_BEHALF_ID:
            return job, None
        body = asked.body
        size = len(body.body) + sum(map(len, body.stretches))
        if size > LARGEST_BYTES:
            self.counts["too_large"] += 1
            return job, None
        client = RecordedClient(job.client, self._room, size)
        session = header(incoming.scope, SESSION_HEADER) or ""
        rater = rater_of(incoming.scope, asked.head)
        recording = Recording(self, client, incoming.route, body, rater, session)
        return replace(job, client=cast("ClientConnection", client)), recording

    # -- the owner's task ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what has ended, and delete what is old; until cancelled."""
        deleted = -DELETE_EVERY_S
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.flush()
            if time.monotonic() - deleted > DELETE_EVERY_S:
                deleted = time.monotonic()
                try:
                    await self._store.delete_older(self._days)
                except StoreFailed as error:
                    logger.error("old conversations are not deleted yet: %s", error)

    async def flush(self) -> None:
        """Write what has ended until now; what the store does not take is lost, and counted."""
        async with self._writing:
            ended, self.ended = self.ended, []
            if not ended:
                return
            rows: list[dict[str, object]] = []
            try:
                rows = await asyncio.to_thread(self._read, ended)
                await self._store.put(rows)
                self.counts["kept"] += len(rows)
                self._failing = False
            except StoreFailed as error:
                self.counts["store_failed"] += len(rows)
                if not self._failing:
                    logger.error("conversations are lost: %s", error)
                self._failing = True
            except asyncio.CancelledError:
                self.ended[:0] = ended  # the last flush of a gateway that stops writes them
                raise
            for one in ended:
                one.recording.client.release()

    async def of_request(self, owner: Owner, request_id: str) -> JudgedAnswer | None:
        """The conversation that feedback by request id is about, however fresh. Raises StoreFailed."""
        await self.flush()
        return await self._store.of_request(owner, request_id)

    def _read(self, ended: list[EndedConversation]) -> list[dict[str, object]]:
        rows = []
        for one in ended:
            try:
                rows.append(_row(one))
            except NotKept as reason:
                self.counts[str(reason)] += 1
            except Exception:  # nobody else's conversation is lost by it
                self.counts["not_text"] += 1
                logger.exception("a conversation could not be read")
        return rows


def _row(ended: EndedConversation) -> dict[str, object]:
    """Raises NotKept."""
    recording, record = ended.recording, ended.record
    body, client = recording.body, recording.client
    said = conversation(
        recording.route, body.whole(body.body), b"".join(client.pieces), streamed=client.streamed
    )
    return {
        "key_id": record.key_id,
        "id": record.request_id,
        "created": ended.at,
        "model": record.model[:MODEL_LENGTH],
        "arm": record.arm[:MODEL_LENGTH] or None,
        "checkpoint": record.checkpoint[:CHECKPOINT_LENGTH] or None,
        "messages": [{"role": one["role"], "content": _storable(one["content"])} for one in said.messages],
        "answer": _storable(said.answer),
        "finish_reason": said.finish_reason[:50] if said.finish_reason else None,
        "rater_id": kept_id(_storable(recording.rater)) or None,
        "session_id": kept_id(_storable(recording.session)) or None,
    }


def _storable(text: str) -> str:
    """PostgreSQL keeps no U+0000 in texts."""
    return text.replace("\x00", "")
