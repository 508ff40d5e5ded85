"""What an upstream is sent: the client's own bytes, but for the fields that routing and counting need."""

import re
import uuid
from hashlib import blake2b
from typing import Any

from server.directory import Upstream
from server.exchange import Job
from server.request import RequestHead
from server.routes import RESPONSES
from server.splice import rename_field, set_field

RESPONSE_ID = re.compile(r"resp_([0-9a-f]{8})_[0-9a-f]{32}")
"""Ids that the gateway gives to responses: the owner's tag is in them, so that any gateway finds it."""
_COUNT_AT_ENGINE = {"include_usage": True, "continuous_usage_stats": True}


def outbound_body(job: Job, head: RequestHead, target: str, upstream: Upstream) -> bytes:
    """The body for `upstream`. Sets on `job` what must be taken out of the answer again."""
    body = job.original
    if job.route.multipart:
        return _set_form_model(body, head.model, target) if target != head.model else body
    if target != head.model:
        body = set_field(body, "model", target)
    if job.route.counts_usage and head.stream is True:
        options = _stream_options(job, head.stream_options, upstream)
        if options != head.stream_options:
            body = set_field(body, "stream_options", options)
    if upstream.kind == "external":
        # OpenAI's newer models refuse the old name; engines know both.
        if upstream.id == "openai" and head.max_tokens is not None and head.max_completion_tokens is None:
            body = rename_field(body, "max_tokens", "max_completion_tokens")
    elif job.route is RESPONSES and head.request_id is None:
        body = set_field(body, "request_id", f"resp_{owner_tag(upstream.id)}_{uuid.uuid4().hex}")
    return body


def _stream_options(job: Job, asked: Any, upstream: Upstream) -> Any:
    """Ask for token counts, on every event where the engine can: so a cut or cancelled stream is counted."""
    job.strip_usage = job.drop_usage_event = False
    if asked is not None and not isinstance(asked, dict):
        return asked  # the engine says what is wrong with it
    options: dict[str, Any] = dict(asked or {})
    wanted = options.get("include_usage") is True
    job.drop_usage_event = not wanted
    if upstream.kind == "external":
        return options | {"include_usage": True}
    job.strip_usage = not (wanted and options.get("continuous_usage_stats"))
    return options | _COUNT_AT_ENGINE


def owner_tag(worker_id: str) -> str:
    """Eight hex digits that stand for a worker in the ids of its responses."""
    return blake2b(worker_id.encode(), digest_size=4).hexdigest()


def _set_form_model(body: bytes, name: str, target: str) -> bytes:
    """A multipart form with its `model` field changed."""
    field = re.compile(
        rb'(\r\ncontent-disposition:[^\r\n]*\bname="?model"?[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)'
        + re.escape(name.encode())
        + rb"(?=\r\n--)",
        re.IGNORECASE,
    )
    return field.sub(lambda found: found.group(1) + target.encode(), body, count=1)
