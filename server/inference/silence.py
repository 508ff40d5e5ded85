"""The clock of one attempt: how long its upstream may say nothing."""

import time

from server.inference import upstream_errors
from server.inference.delivery import BEGUN, Delivery
from server.upstreams.alarm import Alarm

LOST_IDLE_S = 5.0
"""Longest silence of a stream whose worker has lost its lease."""


class Silence:
    """Ends the attempt when the upstream has been silent for too long, or the request has no time left."""

    __slots__ = ("_alarm", "_delivery", "_idle_s", "_sent_at", "heard_at")

    def __init__(self, delivery: Delivery, alarm: Alarm, sent_at: float) -> None:
        """`sent_at` is when the upstream was asked, in monotonic seconds."""
        self._delivery = delivery
        self._alarm = alarm
        self._sent_at = sent_at
        self.heard_at = sent_at
        """When the newest bytes came; set by whoever reads them."""
        self._idle_s = delivery.attempt.limits.idle_s
        """How long a stream that has begun may be silent."""

    def watch(self) -> None:
        """From now on, by the limit that holds at this stage; to be called when a stage begins."""
        self._alarm.set(self._limit_s(), self.ring)

    def lose_patience(self) -> None:
        """The worker is believed dead, though its stream has not broken."""
        self._idle_s = min(LOST_IDLE_S, self._idle_s)
        self._alarm.set(LOST_IDLE_S, self.ring)

    def _limit_s(self) -> float:
        """How long the silence may last now. A plain answer comes in one piece at its end."""
        attempt = self._delivery.attempt
        if not attempt.job.stream:
            return attempt.limits.total_s
        return self._idle_s if self._delivery.stage is BEGUN else attempt.limits.first_event_s

    def ring(self) -> None:
        """See whether a limit has passed. If not, it is looked at again when one can have."""
        delivery = self._delivery
        if delivery.done.done():
            return
        attempt, now, limit = delivery.attempt, time.monotonic(), self._limit_s()
        if not delivery.client.writable:
            self.heard_at = now  # the client is slow, not the engine
        since = self.heard_at if delivery.stage is BEGUN else self._sent_at
        due = min(since + limit, attempt.job.deadline)
        if now < due:
            self._alarm.set(due - now, self.ring)
            return
        if due == attempt.job.deadline:
            limit = attempt.limits.total_s
        delivery.fail(upstream_errors.too_slow(attempt.upstream, limit))
