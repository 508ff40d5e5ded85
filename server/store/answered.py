"""Who gave the answers of the last hours, by request id: what feedback by request id is about."""

import msgspec

from server.record import RequestRecord
from server.store.owner import Owner

MOST = 50_000
"""Answers that a process remembers; the older half of them is forgotten at once. About 15 MB."""


class AnswerOrigin(msgspec.Struct, frozen=True, gc=False):
    """Who asked for an answer and what gave it. There are so many that the garbage collector must not look at
    them."""

    key_id: str
    model: str
    """As it was asked for."""
    arm: str
    checkpoint: str


class RecentAnswers:
    """In memory, of one process: nothing of a conversation is in it."""

    def __init__(self, most: int = MOST) -> None:
        self._half = most // 2
        self._newer: dict[str, AnswerOrigin] = {}
        self._older: dict[str, AnswerOrigin] = {}

    def observe(self, record: RequestRecord) -> None:
        """A finished request. An answer that its reader broke off can be judged, too."""
        if record.status != 200 or record.outcome not in ("ok", "cancelled"):
            return
        self._newer[record.request_id] = AnswerOrigin(
            record.key_id, record.model, record.arm, record.checkpoint
        )
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}

    def of(self, request_id: str, owner: Owner) -> AnswerOrigin | None:
        """The answer to the owner's request; None when it is unknown or another key's."""
        found = self._newer.get(request_id) or self._older.get(request_id)
        return found if found is not None and (owner.sees_all or found.key_id == owner.key_id) else None
