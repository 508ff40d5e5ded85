"""What an upstream is sent: the client's own bytes, but for the fields that routing and counting need."""

import re
import uuid
from hashlib import blake2b

import msgspec

from server.client.form import FormHead, with_form_model
from server.client.routes import RESPONSES
from server.client.splice import JsonObject
from server.inference.job import Job, Outbound, renaming_all
from server.upstreams.provider_request import adapt
from server.upstreams.upstream import Upstream

RESPONSE_ID = re.compile(r"resp_([0-9a-f]{8})_([0-9a-f]{24})([0-9a-f]{8})")
"""Ids that the gateway gives to responses: the worker's tag is in them, so that any gateway finds it, and
that of the key, so that no other key can read them."""
_COUNT_AT_ENGINE = {"include_usage": True, "continuous_usage_stats": True}


def outbound(job: Job, target: str, upstream: Upstream) -> Outbound:
    """What `upstream` is sent of a request for the model `target`."""
    thin = job.body
    if thin is None:
        return Outbound(b"")
    head = thin.head
    card = upstream.reported.models.get(target)
    checkpoint, target = (card.checkpoint or "", card.name) if card is not None else ("", target)
    provider, renamed = upstream.provider, target != head.model
    rename = renaming_all(head.model) if provider is not None and renamed else job.rename
    counted = job.route.counts_usage and head.stream is True
    if job.route.multipart:
        form = (
            with_form_model(thin.body, head, target) if renamed and isinstance(head, FormHead) else thin.body
        )
        return Outbound(form, rename, checkpoint=checkpoint)
    if provider is None and not renamed and not counted and job.route is not RESPONSES:
        return Outbound(thin.whole(thin.body), rename, checkpoint=checkpoint)
    body = JsonObject(thin.body)
    if renamed:
        body.set("model", target)
    counting = _NO_COUNTING
    if provider is not None and not provider.stream_options:
        body.remove("stream_options")
    elif counted:
        counting = _counting(head.stream_options, upstream)
        if counting.options != head.stream_options:
            body.set("stream_options", counting.options)
    if provider is not None:
        adapt(body, provider, target, job.route)
    elif job.route is RESPONSES:
        body.set("request_id", response_id(upstream.id, job.key_id))
    return Outbound(thin.whole(body.text()), rename, counting.cuts_counts, counting.cuts_total, checkpoint)


def response_id(worker_id: str, key_id: str) -> str:
    """A new id for a response that `worker_id` makes for the key `key_id`."""
    unique = uuid.uuid4().hex[:24]
    return f"resp_{worker_tag(worker_id)}_{unique}{_key_tag(key_id, unique)}"


def made_for(given: str, key_id: str, worker_id: str) -> bool:
    """Whether the id is of a response that this worker made for this key."""
    found = RESPONSE_ID.fullmatch(given)
    return found is not None and found[1] == worker_tag(worker_id) and found[3] == _key_tag(key_id, found[2])


class _Counting(msgspec.Struct, frozen=True):
    options: object
    """What the engine is asked as `stream_options`."""
    cuts_counts: bool = False
    cuts_total: bool = False


_NO_COUNTING = _Counting(None)


def _counting(asked: object, upstream: Upstream) -> _Counting:
    """Ask for token counts, on every event where the engine can: so a cut or cancelled stream is counted."""
    if asked is not None and not isinstance(asked, dict):
        return _Counting(asked)  # the engine says what is wrong with it
    options: dict[str, object] = dict(asked or {})
    wanted = options.get("include_usage") is True
    if upstream.provider is not None:
        return _Counting(options | {"include_usage": True}, cuts_total=not wanted)
    as_they_come = wanted and bool(options.get("continuous_usage_stats"))
    return _Counting(options | _COUNT_AT_ENGINE, cuts_counts=not as_they_come, cuts_total=not wanted)


def worker_tag(worker_id: str) -> str:
    """Eight hex digits that stand for a worker in the ids of its responses."""
    return blake2b(worker_id.encode(), digest_size=4).hexdigest()


def _key_tag(key_id: str, unique: str) -> str:
    """Stands for a key, and tells nothing about which responses are of the same one."""
    return blake2b(key_id.encode(), digest_size=4, salt=unique[:16].encode()).hexdigest()
