"""What an upstream is sent: the client's own bytes, but for the fields that routing and counting need."""

import re
import uuid
from hashlib import blake2b
from typing import Any

from server.client.form import FormHead, with_form_model
from server.client.request import RequestHead
from server.client.routes import RESPONSES
from server.client.splice import JsonObject
from server.inference.job import Job
from server.upstreams.provider_request import adapt
from server.upstreams.upstream import Upstream

RESPONSE_ID = re.compile(r"resp_([0-9a-f]{8})_([0-9a-f]{24})([0-9a-f]{8})")
"""Ids that the gateway gives to responses: the worker's tag is in them, so that any gateway finds it, and
that of the key, so that no other key can read them."""
_COUNT_AT_ENGINE = {"include_usage": True, "continuous_usage_stats": True}


def outbound_body(job: Job, head: RequestHead, target: str, upstream: Upstream) -> bytes:
    """The body for `upstream`. Sets on `job` what must be taken out of the answer again."""
    target = upstream.name_of(target)
    provider = upstream.provider
    if provider is not None and target != head.model:
        job.name_every_model(head.model)
    if job.route.multipart:
        if isinstance(head, FormHead) and target != head.model:
            return with_form_model(job.original, head, target)
        return job.original
    counted = job.route.counts_usage and head.stream is True
    if provider is None and target == head.model and not counted and job.route is not RESPONSES:
        return job.original
    body = JsonObject(job.original)
    if target != head.model:
        body.set("model", target)
    if provider is not None and not provider.stream_options:
        job.strip_usage = job.drop_usage_event = False
        body.remove("stream_options")
    elif counted:
        options = _stream_options(job, head.stream_options, upstream)
        if options != head.stream_options:
            body.set("stream_options", options)
    if provider is not None:
        adapt(body, provider, target, job.route)
    elif job.route is RESPONSES:
        body.set("request_id", response_id(upstream.id, job.record.key_id))
    return body.text()


def response_id(worker_id: str, key_id: str) -> str:
    """A new id for a response that `worker_id` makes for the key `key_id`."""
    unique = uuid.uuid4().hex[:24]
    return f"resp_{worker_tag(worker_id)}_{unique}{_key_tag(key_id, unique)}"


def made_for(given: str, key_id: str, worker_id: str) -> bool:
    """Whether the id is of a response that this worker made for this key."""
    found = RESPONSE_ID.fullmatch(given)
    return found is not None and found[1] == worker_tag(worker_id) and found[3] == _key_tag(key_id, found[2])


def _stream_options(job: Job, asked: Any, upstream: Upstream) -> Any:
    """Ask for token counts, on every event where the engine can: so a cut or cancelled stream is counted."""
    job.strip_usage = job.drop_usage_event = False
    if asked is not None and not isinstance(asked, dict):
        return asked  # the engine says what is wrong with it
    options: dict[str, Any] = dict(asked or {})
    wanted = options.get("include_usage") is True
    job.drop_usage_event = not wanted
    if upstream.provider is not None:
        return options | {"include_usage": True}
    job.strip_usage = not (wanted and options.get("continuous_usage_stats"))
    return options | _COUNT_AT_ENGINE


def worker_tag(worker_id: str) -> str:
    """Eight hex digits that stand for a worker in the ids of its responses."""
    return blake2b(worker_id.encode(), digest_size=4).hexdigest()


def _key_tag(key_id: str, unique: str) -> str:
    """Stands for a key, and tells nothing about which responses are of the same one."""
    return blake2b(key_id.encode(), digest_size=4, salt=unique[:16].encode()).hexdigest()
