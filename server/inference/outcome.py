"""How one attempt at an upstream ended. Breaker, ledger and log are fed from this alone (see `attempts`)."""

import msgspec

from common.errors import ApiError, Overloaded
from server.record import Usage


class Answered(msgspec.Struct, frozen=True):
    """The client has the whole answer."""


class CutOff(msgspec.Struct, frozen=True):
    """The client has the beginning of an answer, and the error as its end."""

    error: ApiError


class Interrupted(msgspec.Struct, frozen=True):
    """The client has the beginning of a stream and waits: another worker may go on with it."""

    error: ApiError


class Unanswered(msgspec.Struct, frozen=True):
    """The client has nothing: another upstream may be asked."""

    error: ApiError
    stale: bool = False
    """It was an idle connection that had been closed meanwhile: the same upstream may be asked again."""
    cause: Exception | None = None
    """What the log is told besides the error."""


class Refused(msgspec.Struct, frozen=True):
    """The client has nothing yet; the error is for him, and no other upstream would say anything else."""

    error: ApiError


class Abandoned(msgspec.Struct, frozen=True):
    """The request was cancelled: its client left, or the gateway stops."""


ANSWERED = Answered()
Ended = Answered | CutOff | Interrupted | Unanswered | Refused
Outcome = Ended | Abandoned


class AttemptReport(msgspec.Struct, frozen=True):
    """An attempt's outcome, and what was measured meanwhile."""

    outcome: Outcome
    upstream_s: float = 0.0
    """Wait for the upstream until its answer began, or until it was clear that none would."""
    first_event_at: float | None = None
    """Monotonic seconds when the client was sent the first bytes of its answer; None if this attempt did not
    send them."""
    usage: Usage | None = None


def did_well(outcome: Outcome) -> bool | None:
    """What the attempt says of its upstream: that it does what it should, or not, or nothing (None)."""
    match outcome:
        case Answered():
            return True
        case Refused(error):
            return error.status < 500
        case Unanswered(Overloaded()) | Abandoned():
            return None  # a full upstream is not a broken one
        case Unanswered() | CutOff() | Interrupted():
            return False
