"""What is asked of an upstream: the request, its limits, and how an attempt may end."""

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from common.errors import ApiError
from server.client.large_body import ThinBody
from server.client.routes import Route
from server.inference import sse
from server.inference.resume import Resumption
from server.record import RequestRecord

if TYPE_CHECKING:
    from server.client.protocol import ClientConnection


class Retry(Exception):
    """This upstream failed before it began to answer; another may be asked."""

    def __init__(self, error: ApiError, *, stale: bool = False) -> None:
        self.error = error
        self.stale = stale
        """It was an old connection that had been closed meanwhile: the same upstream may be asked again."""


class Cut(Exception):
    """The stream broke after it had begun; the client has been told nothing yet and waits."""

    def __init__(self, error: ApiError) -> None:
        self.error = error


@dataclass(frozen=True, slots=True)
class Limits:
    """Time-outs in seconds, and what is too much."""

    first_event_s: float
    idle_s: float
    total_s: float
    answer_bytes: int
    """The largest answer that does not come as a stream."""


@dataclass(slots=True)
class Job:
    """One client request, the same for every upstream that is asked."""

    route: Route
    client: "ClientConnection"
    record: RequestRecord
    headers: bytes
    """Header lines that every answer gets: request id, rate limits."""
    passed_on: bytes
    """Header lines of the client that the upstream gets, and the request id."""
    original: bytes
    """The client's body, thinned out when it is large (see `large_body`)."""
    thin: ThinBody | None
    limits: Limits
    deadline: float
    """Monotonic seconds: the end of the total time."""
    body: bytes = b""
    """What the present upstream is sent."""
    rename: sse.Rename | None = None
    """Gives answers the model name that the client asked for."""
    strip_usage: bool = False
    """The engine counts on every event for us alone."""
    drop_usage_event: bool = False
    """The client has not asked for the last event with the counts."""
    prompt_estimate: int = 0
    """Tokens, for what no engine counts."""
    choices: int = 1
    passed: bytearray | None = None
    """The events so far as the engine sent them, kept for going on elsewhere; None when it may not."""
    resumption: Resumption | None = None
    """Set while another worker goes on with a cut stream."""

    def make_body(self, small: bytes) -> None:
        """Send this, made of `original`, with all that was left out of it."""
        self.body = self.thin.whole(small) if self.thin is not None else small

    def rename_model(self, target: str, asked: str) -> None:
        """Answers name the model as the client did, although the engine knows it as `target`."""
        pattern = re.compile(rb'("model":\s?)' + re.escape(msgspec.json.encode(target)))
        self.rename = pattern, rb"\g<1>" + msgspec.json.encode(asked).replace(b"\\", b"\\\\")

    def name_every_model(self, asked: str) -> None:
        """Answers of a provider, which add a date to the name or call it otherwise, name it as asked."""
        pattern = re.compile(rb'("model":\s?)"(?:[^"\\]|\\.)*"')
        self.rename = pattern, rb"\g<1>" + msgspec.json.encode(asked).replace(b"\\", b"\\\\")

    def head(self) -> bytes:
        """Header lines of an answer that begins now: with the checkpoint that gives it, where that is known,
        and what the gateway itself has cost, in ms."""
        named = b""
        if self.record.checkpoint:
            named = b"x-kodolly-checkpoint: %b\r\n" % self.record.checkpoint.encode()
        own_ms = (time.monotonic() - self.record.began - self.record.queued_s - self.record.upstream_s) * 1e3
        return b"%b%bx-kodolly-overhead-ms: %.2f\r\n" % (self.headers, named, max(0.0, own_ms))
