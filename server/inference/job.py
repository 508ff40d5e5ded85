"""What is asked of upstreams: the request, which stays the same, and what one attempt adds to it.

Structs of msgspec, because a frozen dataclass takes seven times as long to make, for every request.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from server.client.large_body import ThinBody
from server.client.routes import Route
from server.inference import sse
from server.inference.resume import History, Resumption
from server.upstreams.upstream import Upstream

if TYPE_CHECKING:
    from server.client.protocol import ClientConnection

STREAM_HEADERS = (
    b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
)
"""Header lines of every stream."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Time-outs in seconds, and what is too much."""

    first_event_s: float
    idle_s: float
    total_s: float
    answer_bytes: int
    """The largest answer that does not come as a stream."""


class Job(msgspec.Struct, frozen=True):
    """One client request, the same for every upstream that is asked."""

    route: Route
    client: "ClientConnection"
    request_id: str
    key_id: str
    stream: bool
    """The client wants one."""
    headers: bytes
    """Header lines that every answer gets: request id, rate limits."""
    forwarded: bytes
    """Header lines of the client that the upstream gets, and the request id."""
    body: ThinBody | None
    """The client's; None for a request that has none."""
    began: float
    """Monotonic seconds when the request's last byte was here."""
    deadline: float
    """Monotonic seconds: the end of the total time."""
    rename: sse.Rename | None = None
    """Gives answers the model name that the client asked for."""
    prompt_estimate: int = 0
    """Tokens, for what no engine counts."""
    choices: int = 1


class Outbound(msgspec.Struct, frozen=True):
    """What one upstream is sent, and what is done to its answer because of that."""

    body: bytes
    rename: sse.Rename | None = None
    """Gives the answer the model name that the client asked for."""
    cuts_counts: bool = False
    """The engine counts on every event for us alone: the counts are taken out."""
    cuts_total: bool = False
    """The client has not asked for the last event, with the counts of all: it is taken out."""
    checkpoint: str = ""
    """Id of the weights that answer; "" when unknown, as a provider's are."""


class Attempt(msgspec.Struct, frozen=True):
    """One upstream that is asked."""

    job: Job
    upstream: Upstream
    outbound: Outbound
    limits: RelayLimits
    waited_s: float = 0.0
    """How long the request has waited before, in line and for other upstreams."""
    history: History | None = None
    """The stream so far, for going on elsewhere; None when that may not be."""
    resumption: Resumption | None = None
    """Set when this continues a stream that was cut off at another worker."""


def renaming(target: str, asked: str) -> sse.Rename:
    """Answers name the model as the client did, although the engine knows it as `target`."""
    pattern = re.compile(rb'("model":\s?)' + re.escape(msgspec.json.encode(target)))
    return pattern, _asked_name(asked)


def renaming_all(asked: str) -> sse.Rename:
    """Answers of a provider, which add a date to the name or call it otherwise, name it as asked."""
    return re.compile(rb'("model":\s?)"(?:[^"\\]|\\.)*"'), _asked_name(asked)


def _asked_name(asked: str) -> bytes:
    return rb"\g<1>" + msgspec.json.encode(asked).replace(b"\\", b"\\\\")
