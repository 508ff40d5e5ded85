"""A request before it is known where it goes: its body is read as far as the gateway needs it, and it is made
the job that upstreams are asked to do."""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Receive, Scope

from common.content_encoding import decoded
from common.errors import BadRequest, MethodNotAllowed
from server.client import request
from server.client.form import FormHead, parse_form_head
from server.client.large_body import LARGE_BYTES, ThinBody, small, thinned
from server.client.request import RequestHead
from server.client.routes import AZURE, Route, deployment_in
from server.inference.job import Job, renaming
from server.inference.token_estimate import estimated_request_tokens
from server.record import RequestRecord
from server.settings import GatewaySettings
from server.telemetry.tracing import child_traceparent

if TYPE_CHECKING:
    from server.client.protocol import ClientConnection

FORWARDED = (
    b"accept",
    b"anthropic-beta",
    b"anthropic-version",
    b"content-type",
    b"traceparent",
    b"tracestate",
)
"""Client headers that reach the engine. Authorization and cookies never do."""


class Incoming(msgspec.Struct, frozen=True):
    """One client request before it is known where it goes."""

    scope: Scope
    headers: dict[bytes, bytes]
    """The first of each name."""
    receive: Receive
    client: "ClientConnection"
    route: Route
    record: RequestRecord
    """Told of what happens, never asked."""
    request_id: str
    id_line: bytes
    """The header line that says it, to the client and to upstreams."""
    began: float
    """Monotonic seconds when the request's head was here."""


class AdmittedRequest(msgspec.Struct, frozen=True):
    """A request for a model, read."""

    body: ThinBody
    head: RequestHead
    """The fields that routing needs."""
    stream: bool
    """The client wants one."""
    prompt_tokens: int
    """An estimate."""
    began: float
    """Monotonic seconds when the last byte of the body was here."""


async def read_request(
    incoming: Incoming, settings: GatewaySettings, default_model: str = ""
) -> AdmittedRequest:
    """Read a request for a model, up to the limits of the settings; one that names no model is for
    `default_model`. Raises ApiError, ClientGone."""
    scope, route = incoming.scope, incoming.route
    if scope["method"] != "POST":
        raise MethodNotAllowed(f"{route.path} takes POST, not {scope['method']}.", headers={"allow": "POST"})
    body, began = await read_body(incoming, settings)
    if (codings := incoming.headers.get(b"content-encoding")) is not None:
        body = await decoded(body, codings.decode("latin-1"), settings.max_body_bytes)
    if scope["raw_path"].startswith(AZURE) and not route.multipart:
        default_model = deployment_in(scope["raw_path"]) or default_model
    if default_model:
        body = request.with_model(body, default_model)
    if route.multipart:
        content_type = request.header(scope, b"content-type") or ""
        thin = ThinBody(body, await parse_form_head(content_type, body))
    else:
        thin = small(body) if len(body) <= LARGE_BYTES else await thinned(body)
    head = thin.head
    tokens = estimated_request_tokens(body, head.file_at if isinstance(head, FormHead) else None)
    if thin.stretches:
        await asyncio.sleep(0)  # each pass over 16 MB takes milliseconds
    return AdmittedRequest(thin, head, bool(head.stream), tokens, began)


async def read_body(incoming: Incoming, settings: GatewaySettings) -> tuple[bytes, float]:
    """The whole body, at once when it came with the header, and when its last byte was here. Raises
    ApiError, ClientGone."""
    limit, seconds = settings.max_body_bytes, settings.body_timeout_s
    body = incoming.client.whole_body()
    if body is not None and len(body) <= limit:
        return body, incoming.began
    if body is not None:
        raise request.too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            body = await request.read_body(incoming.scope, incoming.receive, limit)
    except TimeoutError as error:
        raise BadRequest(f"The body did not arrive within {seconds:.0f} s.", code="body_timeout") from error
    return body, time.monotonic()


def job_of(
    incoming: Incoming,
    asked: AdmittedRequest,
    target: str,
    key_id: str,
    headers: bytes,
    settings: GatewaySettings,
    tracing: bool,
) -> Job:
    """What upstreams are asked to do: `target` is the served model, `headers` are lines of every answer."""
    head = asked.head
    return Job(
        route=incoming.route,
        client=incoming.client,
        request_id=incoming.request_id,
        key_id=key_id,
        stream=asked.stream,
        headers=headers,
        forwarded=forwarded_lines(incoming, tracing=tracing),
        body=asked.body,
        began=asked.began,
        deadline=asked.began + settings.total_timeout_s,
        rename=renaming(target, head.model) if target != head.model else None,
        prompt_estimate=asked.prompt_tokens,
        choices=head.n if isinstance(head.n, int) else 1,
    )


def forwarded_lines(incoming: Incoming, *, tracing: bool) -> bytes:
    """The header lines that upstreams get; with `tracing` the parent of what they do is our span."""
    lines = incoming.id_line
    given: list[tuple[bytes, bytes]] = incoming.scope["headers"]
    first = incoming.headers
    if not tracing and len(first) == len(given):  # each is there once
        for name in FORWARDED:
            if name in first:
                lines += b"%b: %b\r\n" % (name, first[name])
        return lines
    headers = _traced(given, incoming.record) if tracing else given
    return lines + b"".join([b"%b: %b\r\n" % pair for pair in headers if pair[0] in FORWARDED])


def _traced(headers: Iterable[tuple[bytes, bytes]], record: RequestRecord) -> Iterable[tuple[bytes, bytes]]:
    """The client's headers with our span as the parent of whatever the upstream does (W3C Trace Context)."""
    given = {name: value for name, value in headers if name in (b"traceparent", b"tracestate")}
    theirs = given.get(b"traceparent", b"").decode("latin-1")
    ours = child_traceparent(theirs)
    record.client_traceparent, record.traceparent = theirs, ours
    for pair in headers:
        if pair[0] not in given:
            yield pair
    yield b"traceparent", ours.encode()
    if b"tracestate" in given and ours[3:35] == theirs[3:35]:
        yield b"tracestate", given[b"tracestate"]
