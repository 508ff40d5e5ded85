"""What is known of one relayed request when it is over: the one input of metrics, traces and log lines.

Structs of msgspec: they are made for every request, which takes a dataclass several times as long.
"""

from typing import Literal

import msgspec

RecordedOutcome = Literal["ok", "cancelled", "failed", "refused"]
"""`refused` and `cancelled` are the client's doing, `failed` is ours or the upstream's."""

BLOCKED, FLAGGED = "content_filter", "content_flagged"
"""Codes of what moderation has withheld, or found and let pass: metrics count them as they count errors."""


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request, as the engine counted them unless `estimated`."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    estimated: bool = False


class BookedFacts(msgspec.Struct, frozen=True):
    """What is booked of a request besides its outcome and tokens."""

    arm: str = ""
    """The served model behind an alias, else ""."""
    checkpoint: str = ""
    """Id of the weights that answered; "" when unknown."""
    code: str | None = None
    """Its record's error code."""


NO_FACTS = BookedFacts()


class FailedAttempt(msgspec.Struct, frozen=True):
    """An upstream that was asked and did not begin to answer, so that another one was asked."""

    upstream: str
    began: float
    """Monotonic seconds."""
    length_s: float
    reason: str
    """The error's code."""


class RequestRecord(msgspec.Struct):
    """Filled in while the request runs. Times are monotonic seconds or lengths in seconds."""

    request_id: str
    route: str
    """Our path from the table of routes, never the client's own text."""
    began: float
    began_ns: int
    """Unix time in nanoseconds."""
    method: str = "POST"
    client_traceparent: str = ""
    """The W3C trace context that the client sent."""
    traceparent: str = ""
    """The one that upstreams are sent, from `tracing.child_traceparent`; "" when tracing is off."""
    model: str = ""
    """"" until it is known to exist: safe as a metric's label."""
    arm: str = ""
    """The served model behind the alias that was asked for; "" where none was."""
    checkpoint: str = ""
    """Id of the weights that answered, or were asked last; "" when unknown, as a provider's are."""
    key_id: str = ""
    stream: bool = False
    queued_s: float = 0.0
    attempts: int = 0
    upstream: str = ""
    """Id of the last upstream asked."""
    failed_attempts: tuple[FailedAttempt, ...] = ()
    """All attempts but the last one, in order."""
    upstream_s: float = 0.0
    """Time spent waiting for upstreams before the first event."""
    first_event_s: float | None = None
    """From the request's last byte in to the answer's first byte out."""
    total_s: float = 0.0
    status: int = 0
    outcome: RecordedOutcome = "refused"
    error_code: str | None = None
    usage: Usage | None = None
    resumed: int = 0
    """How often the stream went on at another worker."""
