"""The relay: one raw ASGI callable that passes an inference request to a worker or a provider.

Here a request begins and ends: who asks and whether he may, what he is told when something is wrong, and the
one record that metrics, traces and log lines are made of. Upstreams are asked in `attempts`.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from common.errors import ApiError, InternalError, Overloaded
from common.guard import Guard
from common.logs import with_fields
from common.registry import Split
from server.client import request
from server.client.protocol import take_client
from server.client.request import ClientGone
from server.client.routes import RESPONSES, ROUTES, STORED_DOOR
from server.inference import stored_response
from server.inference.admission import (
    AdmittedRequest,
    Incoming,
    forwarded_lines,
    job_of,
    read_body,
    read_request,
)
from server.inference.attempts import Attempts, Upstreams
from server.inference.conversation_log import ConversationLog
from server.inference.job import Job, Outbound, RelayLimits
from server.inference.keep_alive import kept_alive
from server.inference.model_queues import ModelQueues
from server.inference.moderation import Moderation, moderation_of, moderation_of_stored, names_of
from server.inference.moderator import Moderator
from server.inference.outcome import Answered, CutOff, Ended, Interrupted, Refused, Unanswered
from server.inference.replies import Replies
from server.inference.resume import History, may_resume
from server.inference.token_need import NO_NEED, Need, needed_tokens
from server.inference.whom_to_ask import arm_for, candidates_for
from server.record import BLOCKED, BookedFacts, RecordedOutcome, RequestRecord
from server.settings import GatewaySettings
from server.upstreams import choice
from server.upstreams.connection import ConnectionPool
from server.upstreams.directory import Directory

if TYPE_CHECKING:
    from server.accounts.accounts import Accounts
    from server.accounts.keys import Key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class End:
    """How a request ended, for its record."""

    outcome: RecordedOutcome
    error_code: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the client has the answer as the model gave it."""
        return self.outcome == "ok" and self.error_code != BLOCKED


OK = End("ok")
GONE = End("cancelled")
FAILED = End("failed")


@dataclass(slots=True)
class Relay:
    """Shared by all requests; the pool is opened and closed by the app's lifespan."""

    settings: GatewaySettings
    directory: Directory
    pool: ConnectionPool
    accounts: "Accounts"
    queues: ModelQueues
    guard: "Guard[Key]"
    sinks: tuple[Callable[[RequestRecord], None], ...] = ()
    """Metrics, traces, log lines: each is told of every finished request."""
    conversations: ConversationLog | None = None
    """None where no conversation is kept."""
    tracing: bool = False
    """Upstreams get a trace context of ours instead of the client's."""
    upstreams: Upstreams = field(init=False)
    moderator: Moderator = field(init=False)
    replies: Replies = field(init=False)

    def __post_init__(self) -> None:
        """Time-outs are the same for every request."""
        settings = self.settings
        limits = RelayLimits(
            settings.first_event_timeout_s,
            settings.idle_timeout_s,
            settings.total_timeout_s,
            settings.max_answer_bytes,
        )
        self.replies = Replies(self.guard.cross_origin, cors=bool(settings.cors_origins))
        self.upstreams = Upstreams(self.directory, self.pool, limits, settings.engine_fields)
        self.moderator = Moderator(self.directory, self.pool)

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Answer one request, whatever happens; returns when the client has its answer or is gone."""
        client = take_client(scope)
        route, stored = ROUTES.get(scope["path"], RESPONSES), scope["path"] not in ROUTES
        headers = request.first_of_each(scope)
        request_id, began = request.id_from(headers), time.monotonic()
        path = stored_response.ROUTE if stored else route.path
        record = RequestRecord(request_id, path, began, time.time_ns(), scope["method"])
        id_line = b"x-request-id: %b\r\n" % request_id.encode()
        incoming = Incoming(scope, headers, receive, client, route, record, request_id, id_line, began)
        task = asyncio.current_task(client.loop)
        assert task is not None
        client.on_gone = task.cancel
        end = GONE
        try:
            end = await self._answer(incoming, stored)
        except asyncio.CancelledError:
            if not client.gone:
                end = self._refused(incoming, _stopping())
                raise
            task.uncancel()
        finally:
            record.outcome, record.error_code = GONE.outcome if client.gone else end.outcome, end.error_code
            record.status = client.status
            record.total_s = time.monotonic() - record.began
            for sink in self.sinks:
                sink(record)

    async def _answer(self, incoming: Incoming, stored: bool) -> End:
        """Serve the request and tell how it ended. Of all that can be raised, only a cancellation is."""
        scope = incoming.scope
        try:
            if scope["method"] == "OPTIONS":
                self.replies.preflight(incoming)
                return OK
            if incoming.client.gone:
                return GONE
            door = STORED_DOOR if stored else incoming.route.door
            key = self.guard.check(scope, door, incoming.headers)
            incoming.record.key_id = key.id
            if stored:
                return await self._stored_response(incoming, key)
            return await self._serve(incoming, key)
        except ClientGone:
            return GONE
        except ApiError as error:
            return self._refused(incoming, error)
        except Exception:
            logger.exception("a request failed", extra=with_fields(request_id=incoming.request_id))
            return self._refused(incoming, InternalError("The gateway met an unexpected error."))

    def _refused(self, incoming: Incoming, error: ApiError) -> End:
        self.replies.refuse(incoming, error)
        return _end_with(error)

    async def _serve(self, incoming: Incoming, key: "Key") -> End:
        """A request for a model, within what its key may use."""
        asked = await read_request(incoming, self.settings, _default_model(self.directory, incoming, key))
        model = asked.head.model
        self.accounts.check_model(key, model)
        split = self.directory.splits.get(model)
        target = self._target(incoming, asked, key, split)
        arm = target if split is not None or target != model else ""
        record = _noted(incoming.record, asked, arm)
        need = _need(self.directory, incoming, asked, target) if key.limited else NO_NEED
        grant = self.accounts.try_admit(key, model, need.tokens, need.ask)
        if grant is None:
            grant = await self.accounts.admit(key, model, need.tokens, need.ask)
        end, attempts, recording = FAILED, None, None
        try:
            arm_line = b"x-kodolly-arm: %b\r\n" % quote(arm).encode() if split is not None else b""
            lines = self.replies.lines(incoming) + grant.header_lines + arm_line
            job = job_of(incoming, asked, target, key.id, lines, self.settings, self.tracing)
            if self.conversations is not None:
                job, recording = self.conversations.recorded(job, incoming, asked)
            if (moderation := self._moderation(incoming, key, asked, target)) is not None:
                await moderation.look_at_request(asked.body)
                job = replace(job, client=moderation.stand_before(job.client))
            attempts = Attempts(self.upstreams, job, record, self._history(incoming, asked))
            if moderation is None and not self.settings.keep_alive_s:
                end = _end_of(await self._in_turn(incoming, attempts, target))
            else:
                end = await self._ask(incoming, attempts, target, moderation)
        except asyncio.CancelledError:
            end = GONE if incoming.client.gone else end
            raise
        except ApiError as error:
            end = _end_with(error)
            raise
        finally:
            usage, checkpoint = (attempts.usage, attempts.checkpoint) if attempts is not None else (None, "")
            self.accounts.settle(grant, end.outcome, usage, BookedFacts(arm, checkpoint, end.error_code))
            if recording is not None:
                recording.ended(record, whole=end.is_whole)
        return end

    def _target(self, incoming: Incoming, asked: AdmittedRequest, key: "Key", split: Split | None) -> str:
        if split is None:
            return choice.resolve(self.directory, asked.head.model, key.models)
        return arm_for(self.directory, split, incoming, asked.head, key.id)

    def _history(self, incoming: Incoming, asked: AdmittedRequest) -> History | None:
        resumable = self.settings.resume_streams and may_resume(incoming.route, asked.head)
        return History() if resumable else None

    async def _ask(
        self, incoming: Incoming, attempts: Attempts, target: str, moderation: Moderation | None
    ) -> End:
        with kept_alive(attempts.job, self.settings.keep_alive_s):
            answering = self._in_turn(incoming, attempts, target)
            if moderation is None:
                return _end_of(await answering)
            end = _end_of(await moderation.watch(answering))
            return End(end.outcome, end.error_code or moderation.code)

    def _moderation(
        self, incoming: Incoming, key: "Key", asked: AdmittedRequest, target: str
    ) -> Moderation | None:
        """What is done with the request under the rules of the settings; None for nothing."""
        rules = self.settings.moderation
        if not rules:
            return None
        names = names_of(self.directory, asked.head.model, target)
        return moderation_of(self.moderator, rules, key, names, incoming.route, incoming.request_id)

    async def _in_turn(self, incoming: Incoming, attempts: Attempts, target: str) -> Ended:
        """Wait for a free worker where all are busy, then run."""
        queue, job = self.queues.of(target), attempts.job
        if queue.must_wait() or not self.queues.has_room(target):
            choice.candidates(self.directory, target)  # raises when no worker could ever take it
            has_room = partial(self.queues.has_room, target)
            waited_s = await queue.wait(job.key_id, self.settings.queue_timeout_s, has_room)
            attempts.waited_s = incoming.record.queued_s = waited_s
        try:
            return await attempts.run(target, candidates_for(self.directory, job, incoming.scope, target))
        finally:
            queue.release()

    async def _stored_response(self, incoming: Incoming, key: "Key") -> End:
        """At the worker that has it."""
        response_id, method, path = stored_response.asked_for(incoming.scope)
        owner = stored_response.owner_of(response_id, key.id, self.directory.upstreams())
        _, began = await read_body(incoming, self.settings)
        stream = b"stream=true" in incoming.scope["query_string"].lower()
        incoming.record.began, incoming.record.stream = began, stream
        job = Job(
            route=incoming.route,
            client=incoming.client,
            request_id=incoming.request_id,
            key_id=key.id,
            stream=stream,
            headers=self.replies.lines(incoming),
            forwarded=forwarded_lines(incoming, tracing=self.tracing),
            body=None,
            began=began,
            deadline=began + self.settings.total_timeout_s,
        )
        # Its text may have been made in the background, or withheld when it was.
        rules, looked_at = self.settings.moderation, None
        if rules and (looked_at := moderation_of_stored(self.moderator, rules, key, incoming.request_id)):
            job = replace(job, client=looked_at.stand_before(job.client))
        attempts = Attempts(self.upstreams, job, incoming.record)
        asking = attempts.ask(owner, Outbound(b""), method, path)
        if looked_at is None:
            return _end_of(await asking)
        end = _end_of(await looked_at.watch(asking))
        return End(end.outcome, end.error_code or looked_at.code)


def _default_model(directory: Directory, incoming: Incoming, key: "Key") -> str:
    """The model of a request that names none, where its route allows that; "" for none."""
    kind = incoming.route.default_kind
    return choice.default_of_kind(directory, kind, key.may_use) if kind is not None else ""


def _noted(record: RequestRecord, asked: AdmittedRequest, arm: str) -> RequestRecord:
    """The record, which now says what is asked for."""
    record.began, record.model, record.stream, record.arm = asked.began, asked.head.model, asked.stream, arm
    return record


def _need(directory: Directory, incoming: Incoming, asked: AdmittedRequest, target: str) -> Need:
    context_length = partial(choice.context_length, directory, target)
    return needed_tokens(asked.head, incoming.route, asked.prompt_tokens, context_length)


def _end_of(outcome: Ended) -> End:
    """Raises the error of a request that has got no answer."""
    match outcome:
        case Answered():
            return OK
        case CutOff(error) | Interrupted(error):
            return End("failed", error.code)
        case Refused(error) | Unanswered(error):
            raise error


def _end_with(error: ApiError) -> End:
    return End("failed" if error.status >= 500 else "refused", error.code)


def _stopping() -> Overloaded:
    return Overloaded(
        "The gateway is being stopped.", hint="Send the request again.", headers={"retry-after": "1"}
    )
