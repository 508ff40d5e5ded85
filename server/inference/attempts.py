"""One request's attempts: one upstream after the other is asked, until one begins to answer.

Each attempt returns its outcome. Here, and nowhere else, breaker and log record are told of it.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from common.documents_service import OWNER_HEADER
from common.errors import ApiError
from common.logs import with_fields
from server.client.protocol import Phase
from server.inference import dialects, upstream_errors
from server.inference.engine_fields import EngineField, check_engine_fields
from server.inference.exchange import Exchange
from server.inference.job import Attempt, Job, Outbound, RelayLimits
from server.inference.outbound import outbound
from server.inference.outcome import (
    ANSWERED,
    Abandoned,
    Answered,
    AttemptReport,
    CutOff,
    Ended,
    Interrupted,
    Outcome,
    Refused,
    Unanswered,
    did_well,
)
from server.inference.resume import History, NotResumable, Resumption, closing_events, plan_resumption
from server.inference.retry_budget import RetryBudget
from server.record import FailedAttempt, RequestRecord, Usage
from server.upstreams import choice
from server.upstreams.connect import ConnectFailed
from server.upstreams.connection import ConnectionPool
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""The first worker and at most two others."""
_ABANDONED = AttemptReport(Abandoned())
"""Of an attempt that does not come back."""


@dataclass(frozen=True, slots=True)
class Upstreams:
    """What all requests share on their way to upstreams."""

    directory: Directory
    pool: ConnectionPool
    limits: RelayLimits
    """Time-outs at workers; providers have their own."""
    engine_fields: Collection[EngineField] = ()
    """What clients may send although it acts on the requests of others."""
    budget: RetryBudget = field(default_factory=RetryBudget)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    """To ask asyncio for it takes a system call."""

    def limits_at(self, upstream: Upstream) -> RelayLimits:
        """Time-outs of one upstream."""
        provider = upstream.provider
        if provider is None:
            return self.limits
        return dataclasses.replace(
            self.limits, first_event_s=provider.first_event_timeout_s, idle_s=provider.idle_timeout_s
        )


class Attempts(msgspec.Struct):
    """Those of one request."""

    shared: Upstreams
    job: Job
    record: RequestRecord
    """Told of every attempt, never asked."""
    history: History | None = None
    """Of a stream that may go on at another worker."""
    waited_s: float = 0.0
    """In line and for upstreams."""
    usage: Usage | None = None
    """What the request has spent so far."""
    checkpoint: str = ""
    """Id of the weights that were asked last; "" when unknown."""

    async def run(self, target: str, upstreams: Sequence[Upstream]) -> Ended:
        """Ask one after the other, best first, for the model `target`."""
        self.shared.budget.deposit()
        last: Unanswered | None = None
        failed: tuple[FailedAttempt, ...] = ()
        for upstream in upstreams[:MAX_ATTEMPTS]:
            if last is not None and not self._may_move():
                break
            self.record.failed_attempts = failed
            sent = self._outbound(target, upstream)
            began = time.monotonic()
            outcome = await self.ask(upstream, sent)
            if isinstance(outcome, Interrupted):
                return await self._resume(target, upstream, sent, outcome.error)
            if not isinstance(outcome, Unanswered):
                return outcome
            last = outcome
            reason = last.error.code or "failed"
            failed += (FailedAttempt(upstream.id, began, time.monotonic() - began, reason),)
            because = f" ({last.cause})" if last.cause is not None else ""
            self._warn("upstream %s: %s%s", upstream.id, last.error.message, because)
        assert last is not None
        return last

    def _outbound(self, target: str, upstream: Upstream) -> Outbound:
        if upstream.provider is None and self.job.body is not None:
            check_engine_fields(self.job.body, self.shared.engine_fields)
        return outbound(self.job, target, upstream)

    async def ask(
        self,
        upstream: Upstream,
        sent: Outbound,
        method: bytes = b"POST",
        path: bytes = b"",
        resumption: Resumption | None = None,
    ) -> Ended:
        """One attempt. Raises CancelledError, once its end is booked."""
        job = self.job
        limits = self.shared.limits_at(upstream)
        attempt = Attempt(job, upstream, sent, limits, self.waited_s, self.history, resumption)
        head = upstream.request_head(method, path or job.route.engine_path.encode())
        if upstream.told_owner:
            head += b"%b: %b\r\n" % (OWNER_HEADER.encode(), job.key_id.encode())
        head += b"%bcontent-length: %d\r\n\r\n" % (job.forwarded, len(sent.body))
        ticket = upstream.standing.begin()
        report = _ABANDONED
        try:
            report = await self._connect_and_exchange(attempt, head)
        finally:
            self._book(attempt, ticket, report)
        if isinstance(report.outcome, Abandoned):
            raise asyncio.CancelledError
        return report.outcome

    def _book(self, attempt: Attempt, ticket: int, report: AttemptReport) -> None:
        """The one place where an attempt's end is told: to its upstream's breaker and to the record."""
        attempt.upstream.standing.end(ticket, did_well(report.outcome))
        self.checkpoint = attempt.outbound.checkpoint
        self.waited_s += report.upstream_s
        self.usage = report.usage or self.usage
        record = self.record
        record.attempts += 1
        record.upstream, record.checkpoint = attempt.upstream.id, self.checkpoint
        record.upstream_s += report.upstream_s
        record.usage = self.usage
        if report.first_event_at is not None:
            record.first_event_s = report.first_event_at - self.job.began

    async def _connect_and_exchange(self, attempt: Attempt, head: bytes) -> AttemptReport:
        pool, upstream = self.shared.pool, attempt.upstream
        before_s = 0.0
        connection = pool.idle(upstream.origin)
        while True:
            if connection is None:
                try:
                    connection = await pool.connect(upstream.origin)
                except ConnectFailed as error:
                    if not error.ours:
                        upstream.standing.rest()
                    unreachable = upstream_errors.unreachable(upstream, error)
                    return AttemptReport(Unanswered(unreachable, cause=error), before_s)
            exchange = Exchange(attempt, connection, self.shared.loop.create_future())
            outcome: Outcome
            try:
                exchange.send(head)
                outcome = await exchange.done
            except asyncio.CancelledError:
                outcome = Abandoned()
            finally:
                exchange.close()
            report = exchange.report(outcome)
            if before_s:
                report = replace(report, upstream_s=before_s + report.upstream_s)
            if not (isinstance(outcome, Unanswered) and outcome.stale):
                return report
            # The engine had closed the idle connection in the same moment: nothing was lost.
            before_s, connection = report.upstream_s, None

    def _may_move(self) -> bool:
        """Whether another upstream may be asked: nothing of an answer is out, and retries are left."""
        open_yet = self.job.client.phase in (Phase.WAITING, Phase.HELD)
        return open_yet and self.shared.budget.try_withdraw()

    async def _resume(self, target: str, cut_off: Upstream, sent: Outbound, error: ApiError) -> Ended:
        """Let other workers go on with a cut stream; when none can, tell the client that it is cut.

        Only those with the same checkpoint: one answer has one author.
        """
        others = [
            up
            for up in choice.ready(self.shared.directory, target)
            if up.kind == "worker" and up is not cut_off and up.checkpoint_of(target) == sent.checkpoint
        ]
        last = cut_off
        for upstream in others[: MAX_ATTEMPTS - 1]:
            if self.history is None or not self.history.whole:
                break
            self._warn("upstream %s: %s Going on at %s.", last.id, error.message, upstream.id)
            try:
                resumption = await plan_resumption(sent.body, bytes(self.history.events))
            except NotResumable:
                break
            if resumption.finished:
                self.job.client.end(closing_events(resumption, not sent.cuts_total))
                return ANSWERED
            last = upstream
            outcome = await self.ask(upstream, replace(sent, body=resumption.body), resumption=resumption)
            if isinstance(outcome, Refused):
                break
            if isinstance(outcome, Answered | CutOff | Interrupted):
                self.record.resumed += 1
            if not isinstance(outcome, Unanswered | Interrupted):
                return outcome
            error = outcome.error
        self.job.client.end(dialects.error_frames(error, self.job.route.dialect))
        return CutOff(error)

    def _warn(self, message: str, *values: str) -> None:
        logger.warning(message, *values, extra=with_fields(request_id=self.job.request_id))
