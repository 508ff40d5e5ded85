"""The relay: one raw ASGI callable that passes an inference request to a worker or a provider.

Bytes go through as they are. Until the first whole event of a stream (or the whole body of a plain
answer) has come, the request can still move to another worker or end in a true HTTP status; after
that a failure is an error frame and the stream's end, never a silent one (see `exchange`).
"""

import asyncio
import dataclasses
import logging
import re
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from common.content_encoding import decoded
from common.cors import header_lines
from common.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    error_bytes,
)
from common.guard import Guard
from common.logs import with_fields
from server.client import request
from server.client.form import FormHead, parse_form_head
from server.client.large_body import ThinBody, thinned
from server.client.protocol import Phase, take_client
from server.client.request import ClientGone, Receive, RequestHead, Scope, Send
from server.client.routes import AZURE, RESPONSES, ROUTES, STORED_DOOR, Route, deployment_in
from server.inference import dialects, upstream_errors
from server.inference.engine_fields import check_engine_fields
from server.inference.exchange import STREAM_HEADERS, Exchange
from server.inference.job import Cut, Job, Limits, Retry
from server.inference.keep_alive import KeepAlive
from server.inference.model_queues import ModelQueues
from server.inference.outbound import RESPONSE_ID, made_for, outbound_body
from server.inference.resume import NotResumable, closing_events, may_resume, plan_resumption
from server.inference.retry_budget import RetryBudget
from server.inference.token_estimate import estimated_request_tokens
from server.inference.token_need import NO_NEED, needed_tokens
from server.record import FailedAttempt, RequestRecord
from server.settings import GatewaySettings
from server.telemetry.tracing import child_traceparent
from server.upstreams import choice
from server.upstreams.affinity import affinity_hash
from server.upstreams.connect import ConnectFailed
from server.upstreams.connection import Connection, ConnectionPool
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

if TYPE_CHECKING:
    from server.accounts.accounts import Accounts
    from server.accounts.keys import Key
    from server.client.protocol import ClientConnection

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""The first worker and at most two others."""
PASSED_ON = frozenset(
    (b"content-type", b"accept", b"traceparent", b"tracestate", b"anthropic-version", b"anthropic-beta")
)
"""Client headers that reach the engine. Authorization and cookies never do."""
SESSION_HEADER = b"x-session-id"
"""Requests with the same value go to the same worker as far as its load allows."""
_NOT_KEPT_ALIVE = nullcontext()
STORED_ROUTE = "/v1/responses/{response_id}"
STORED_PATH = re.compile(r"/v1/responses/([A-Za-z0-9_.:-]{1,128})(/cancel)?")


@dataclass(frozen=True, slots=True)
class Incoming:
    """One client request before it is known where it goes."""

    scope: Scope
    receive: Receive
    client: "ClientConnection"
    route: Route
    record: RequestRecord


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
    tracing: bool = False
    """Upstreams get a trace context of ours instead of the client's."""
    budget: RetryBudget = field(default_factory=RetryBudget)
    limits: Limits = field(init=False)
    """Time-outs at workers; providers have their own."""

    def __post_init__(self) -> None:
        """Time-outs are the same for every request."""
        settings = self.settings
        self.limits = Limits(
            settings.first_event_timeout_s,
            settings.idle_timeout_s,
            settings.total_timeout_s,
            settings.max_answer_bytes,
        )

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Answer one request, whatever happens; returns when the client has its answer or is gone."""
        client = take_client(scope)
        route = ROUTES.get(scope["path"], RESPONSES)
        record = RequestRecord(request.request_id(scope), route.path, time.monotonic(), time.time_ns())
        record.method = scope["method"]
        if scope["path"] not in ROUTES:
            record.route = STORED_ROUTE
        task = asyncio.current_task()
        assert task is not None
        client.on_gone = partial(_cancel, task)
        try:
            if scope["method"] == "OPTIONS":
                self._preflight(scope, client, record)
            elif not client.gone:
                await self._serve(Incoming(scope, receive, client, route, record))
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if not client.gone:
                self._refuse(scope, client, _stopping(), record, route)
                raise
            task.uncancel()
        except ApiError as error:
            self._refuse(scope, client, error, record, route)
        except Exception:
            logger.exception("a request failed", extra=with_fields(request_id=record.request_id))
            self._refuse(scope, client, InternalError("The gateway met an unexpected error."), record, route)
        finally:
            if client.gone:
                record.outcome = "cancelled"
            record.total_s = time.monotonic() - record.began
            for sink in self.sinks:
                sink(record)

    def _refuse(
        self, scope: Scope, client: "ClientConnection", error: ApiError, record: RequestRecord, route: Route
    ) -> None:
        """Answer with the dialect's error object, or end a stream with it when its status is out."""
        record.error_code = record.error_code or error.code
        if client.phase is Phase.DONE or client.gone:
            return
        if error.status >= 500:
            record.outcome = "failed"
        if client.phase is not Phase.WAITING:
            client.end(dialects.error_frames(error, route.dialect))
            return
        record.status = error.status
        headers = b"content-type: application/json\r\nx-request-id: %b\r\n" % record.request_id.encode()
        for name, value in error.headers.items():
            headers += b"%b: %b\r\n" % (name.encode(), value.encode("latin-1"))
        body = dialects.anthropic_error_bytes(error) if route.dialect == "anthropic" else error_bytes(error)
        client.answer(error.status, headers + self._cors_lines(scope), body)

    def _cors_lines(self, scope: Scope) -> bytes:
        if not self.settings.cors_origins:
            return b""
        origin = (request.header(scope, b"origin") or "").encode("latin-1")
        return header_lines(self.guard.cross_origin.answer_headers(origin))

    def _preflight(self, scope: Scope, client: "ClientConnection", record: RequestRecord) -> None:
        """A browser asks what it may do. It sends no key with that."""
        origin = (request.header(scope, b"origin") or "").encode("latin-1")
        asked = (request.header(scope, b"access-control-request-headers") or "").encode("latin-1")
        method = b"POST" if scope["path"] in ROUTES or scope["path"].endswith("/cancel") else b"GET"
        record.status, record.outcome = 204, "ok"
        lines = header_lines(self.guard.cross_origin.preflight_headers(origin, asked, method))
        client.answer(204, lines, b"")

    # -- admission ----------------------------------------------------------------------------------

    async def _serve(self, incoming: Incoming) -> None:
        scope, route, record = incoming.scope, incoming.route, incoming.record
        key = self.guard.check(scope, route.door if scope["path"] in ROUTES else STORED_DOOR)
        record.key_id = key.id
        if scope["path"] not in ROUTES:
            await self._stored_response(incoming)
            return
        if scope["method"] != "POST":
            raise MethodNotAllowed(
                f"{route.path} takes POST, not {scope['method']}.", headers={"allow": "POST"}
            )
        body = await self._body(incoming)
        if (codings := request.header(scope, b"content-encoding")) is not None:
            body = await decoded(body, codings, self.settings.max_body_bytes)
        if scope["raw_path"].startswith(AZURE) and not route.multipart:
            body = request.with_deployment(body, deployment_in(scope["raw_path"]))
        if route.multipart:
            content_type = request.header(scope, b"content-type") or ""
            thin = ThinBody(body, await parse_form_head(content_type, body))
        else:
            thin = await thinned(body)
        head = thin.head
        self.accounts.check_model(key, head.model)
        target = choice.resolve(self.directory, head.model, key.models)
        record.model, record.stream = head.model, bool(head.stream)
        prompt_tokens = estimated_request_tokens(body, head.file_at if isinstance(head, FormHead) else None)
        if thin.stretches:
            await asyncio.sleep(0)  # each pass over 16 MB takes milliseconds
        need = NO_NEED
        if key.limited:
            context_length = partial(choice.context_length, self.directory, target)
            need = needed_tokens(head, route, prompt_tokens, context_length)
        grant = self.accounts.try_admit(key, head.model, need.tokens, need.ask)
        if grant is None:
            grant = await self.accounts.admit(key, head.model, need.tokens, need.ask)
        try:
            job = self._job(incoming, thin, grant.header_lines)
            job.prompt_estimate = prompt_tokens
            job.choices = head.n if isinstance(head.n, int) else 1
            if target != head.model:
                record.arm = target
                job.rename_model(target, head.model)
            if self.settings.resume_streams and may_resume(route, head):
                job.passed = bytearray()
            with self._kept_alive(job):
                await self._in_turn(incoming, job, head, target)
        except asyncio.CancelledError:
            record.outcome = "cancelled" if incoming.client.gone else "failed"
            raise
        except ApiError as error:
            record.outcome = "failed" if error.status >= 500 else "refused"
            raise
        finally:
            self.accounts.settle(grant, record.outcome, record.usage, record.arm, record.checkpoint)

    async def _body(self, incoming: Incoming) -> bytes:
        """The whole body, at once when it came with the header."""
        limit, seconds = self.settings.max_body_bytes, self.settings.body_timeout_s
        body = incoming.client.whole_body()
        if body is not None and len(body) <= limit:
            return body
        if body is not None:
            raise request.too_large(limit)
        try:
            async with asyncio.timeout(seconds):
                body = await request.read_body(incoming.scope, incoming.receive, limit)
        except TimeoutError as error:
            raise BadRequest(
                f"The body did not arrive within {seconds:.0f} s.", code="body_timeout"
            ) from error
        incoming.record.began = time.monotonic()
        return body

    def _job(self, incoming: Incoming, body: ThinBody | None, header_lines: bytes) -> Job:
        settings, record = self.settings, incoming.record
        request_id = b"x-request-id: %b\r\n" % record.request_id.encode()
        headers_in = incoming.scope["headers"]
        if self.tracing:
            headers_in = _traced(headers_in, record)
        passed_on = [b"%b: %b\r\n" % pair for pair in headers_in if pair[0] in PASSED_ON]
        return Job(
            route=incoming.route,
            client=incoming.client,
            record=record,
            headers=request_id + self._cors_lines(incoming.scope) + header_lines,
            passed_on=request_id + b"".join(passed_on),
            original=body.body if body else b"",
            thin=body,
            limits=self.limits,
            deadline=record.began + settings.total_timeout_s,
        )

    # -- upstreams ----------------------------------------------------------------------------------

    def _kept_alive(self, job: Job) -> AbstractContextManager[object]:
        """Signs of life for a stream while it waits, where the settings want them."""
        every_s = self.settings.keep_alive_s
        if not every_s or not job.record.stream:
            return _NOT_KEPT_ALIVE
        sign = dialects.KEEP_ALIVE[job.route.dialect]
        return KeepAlive(job.client, job.record, STREAM_HEADERS + job.headers, sign, every_s)

    async def _in_turn(self, incoming: Incoming, job: Job, head: RequestHead, target: str) -> None:
        """Wait for a free worker where all are busy, then run."""
        queue = self.queues.of(target)
        has_room = partial(self.queues.has_room, target)
        if queue.must_wait() or not has_room():
            choice.candidates(self.directory, target)  # raises when nobody could ever come
            limit_s = self.settings.queue_timeout_s
            incoming.record.queued_s = await queue.wait(incoming.record.key_id, limit_s, has_room)
        try:
            await self._run(incoming, job, head, target)
        finally:
            queue.release()

    async def _run(self, incoming: Incoming, job: Job, head: RequestHead, target: str) -> None:
        """Ask one upstream after the other until one begins to answer."""
        record = job.record
        self.budget.deposit()
        last: ApiError | None = None
        for upstream in self._candidates(incoming, job, head, target)[:MAX_ATTEMPTS]:
            if last is not None and not self._may_move(incoming.client):
                break
            if upstream.provider is None:
                check_engine_fields(head, self.settings.engine_fields)
            job.make_body(outbound_body(job, head, target, upstream))
            record.checkpoint = upstream.checkpoint_of(target)
            began = time.monotonic()
            try:
                await self._ask(job, upstream)
                return
            except Cut as cut:
                await self._resume(job, target, upstream, cut.error)
                return
            except Retry as retry:
                last = retry.error
                attempt = FailedAttempt(upstream.id, began, time.monotonic() - began, last.code or "failed")
                record.failed_attempts += (attempt,)
                logger.warning(
                    "upstream %s: %s%s",
                    upstream.id,
                    last.message,
                    f" ({retry.__cause__})" if retry.__cause__ is not None else "",
                    extra=with_fields(request_id=record.request_id),
                )
        assert last is not None
        record.failed_attempts = record.failed_attempts[:-1]  # nobody was asked after the last one
        raise last

    def _may_move(self, client: "ClientConnection") -> bool:
        """Whether another upstream may be asked: nothing of an answer is out, and retries are left."""
        return client.phase in (Phase.WAITING, Phase.HELD) and self.budget.try_withdraw()

    async def _resume(self, job: Job, target: str, cut_off: Upstream, error: ApiError) -> None:
        """Let other workers go on with a cut stream; when none can, tell the client that it is cut.

        Only those with the same checkpoint: one answer has one author."""
        record, first_body = job.record, job.body
        others = [
            up
            for up in choice.ready(self.directory, target)
            if up.kind == "worker" and up is not cut_off and up.checkpoint_of(target) == record.checkpoint
        ]
        for upstream in others[: MAX_ATTEMPTS - 1]:
            logger.warning(
                "upstream %s: %s Going on at %s.",
                record.upstream,
                error.message,
                upstream.id,
                extra=with_fields(request_id=record.request_id),
            )
            try:
                job.resumption = await plan_resumption(first_body, bytes(job.passed or b""))
            except NotResumable:
                break
            if job.resumption.finished:
                job.client.end(closing_events(job.resumption, not job.drop_usage_event))
                record.outcome = "ok"
                return
            job.body = job.resumption.body
            try:
                await self._ask(job, upstream)
                record.resumed += 1
                return
            except Cut as again:
                error = again.error
                record.resumed += 1
            except Retry as retry:
                error = retry.error
            except ApiError:
                break
            if job.passed is None:
                break
        record.outcome, record.error_code = "failed", error.code
        job.client.end(dialects.error_frames(error, job.route.dialect))

    def _candidates(self, incoming: Incoming, job: Job, head: RequestHead, target: str) -> list[Upstream]:
        previous = head.previous_response_id
        if job.route is RESPONSES and isinstance(previous, str) and RESPONSE_ID.fullmatch(previous):
            return [self._owner(previous, job.record.key_id)]  # the engine that has the conversation
        if not choice.has_choice(self.directory, target):
            return choice.candidates(self.directory, target)
        session = request.header(incoming.scope, SESSION_HEADER)
        if session is not None:
            return choice.candidates(self.directory, target, affinity_hash(session.encode()))
        prefix = request.conversation_prefix(head)
        if not prefix:
            return choice.candidates(self.directory, target)
        key_id = job.record.key_id.encode()
        return choice.candidates(self.directory, target, affinity_hash(key_id, target.encode(), prefix))

    async def _ask(self, job: Job, upstream: Upstream, method: bytes = b"POST", path: bytes = b"") -> None:
        """One upstream. Raises Retry or ApiError when nothing was sent to the client."""
        record = job.record
        record.attempts += 1
        record.upstream = upstream.id
        job.limits = self._limits_at(upstream)
        head = upstream.request_head(method, path or job.route.engine_path.encode())
        head += b"%bcontent-length: %d\r\n\r\n" % (job.passed_on, len(job.body))
        ticket = upstream.standing.begin()
        well: bool | None = None
        try:
            await self._connect_and_exchange(job, upstream, head)
            well = record.outcome == "ok"
        except ApiError as error:
            well = error.status < 500
            raise
        except Retry as retry:
            well = None if isinstance(retry.error, Overloaded) else False  # one that is full is not ill
            raise
        except Cut:
            well = False
            raise
        finally:
            upstream.standing.end(ticket, well)

    def _limits_at(self, upstream: Upstream) -> Limits:
        provider = upstream.provider
        if provider is None:
            return self.limits
        return dataclasses.replace(
            self.limits, first_event_s=provider.first_event_timeout_s, idle_s=provider.idle_timeout_s
        )

    async def _connect_and_exchange(self, job: Job, upstream: Upstream, head: bytes) -> None:
        connection = self.pool.idle(upstream.origin)
        if connection is not None:
            try:
                await self._exchange(job, upstream, connection, head)
                return
            except Retry as retry:
                if not retry.stale:
                    raise
        # No idle connection, or the engine had closed it in the same moment: nothing was lost.
        try:
            connection = await self.pool.connect(upstream.origin)
        except ConnectFailed as error:
            upstream.standing.rest()
            raise Retry(upstream_errors.unreachable(upstream, error)) from error
        await self._exchange(job, upstream, connection, head)

    async def _exchange(self, job: Job, upstream: Upstream, connection: Connection, head: bytes) -> None:
        record = job.record
        exchange = Exchange(job, upstream, connection, asyncio.get_running_loop().create_future())
        try:
            exchange.send(head)
            await exchange.done
            record.outcome = "ok" if exchange.failure is None else "failed"
            if exchange.failure is not None:
                record.error_code = exchange.failure.code
        finally:
            exchange.close()
            record.usage = exchange.usage()

    # -- stored responses ---------------------------------------------------------------------------

    async def _stored_response(self, incoming: Incoming) -> None:
        """GET /v1/responses/{id} and POST /v1/responses/{id}/cancel, at the worker that has it."""
        scope = incoming.scope
        match = STORED_PATH.fullmatch(scope["path"])
        if match is None:
            raise NotFound(f"There is no route {scope['path']}.")
        method = "POST" if match.group(2) else "GET"
        if scope["method"] != method:
            raise MethodNotAllowed(
                f"This path takes {method}, not {scope['method']}.", headers={"allow": method}
            )
        owner = self._owner(match.group(1), incoming.record.key_id)
        await self._body(incoming)
        query = scope["query_string"]
        path = scope["path"].encode() + (b"?" + query if query else b"")
        job = self._job(incoming, None, b"")
        incoming.record.stream = b"stream=true" in query.lower()
        try:
            await self._ask(job, owner, method.encode(), path)
        except Retry as retry:
            raise retry.error from retry

    def _owner(self, response_id: str, key_id: str) -> Upstream:
        """The worker that made a response for this key. Raises NotFound when it is not here any more."""
        for worker in self.directory.upstreams():
            if worker.kind == "worker" and made_for(response_id, key_id, worker.id):
                return worker
        raise NotFound(
            f"The response {response_id!r} is not known here.",
            hint="Responses live at the worker that made them and end with it.",
            param="response_id",
        )


def _traced(headers: Iterable[tuple[bytes, bytes]], record: RequestRecord) -> Iterable[tuple[bytes, bytes]]:
    """The client's headers with our span as the parent of whatever the upstream does (W3C Trace Context)."""
    given = {name: value for name, value in headers if name in (b"traceparent", b"tracestate")}
    record.client_traceparent = given.get(b"traceparent", b"").decode("latin-1")
    record.traceparent = child_traceparent(record.client_traceparent)
    for pair in headers:
        if pair[0] not in given:
            yield pair
    yield b"traceparent", record.traceparent.encode()
    if b"tracestate" in given and record.traceparent[3:35] == record.client_traceparent[3:35]:
        yield b"tracestate", given[b"tracestate"]


def _cancel(task: "asyncio.Task[object]") -> None:
    task.cancel()


def _stopping() -> Overloaded:
    return Overloaded(
        "The gateway is being stopped.", hint="Send the request again.", headers={"retry-after": "1"}
    )
