"""Who asks, as far as a request tells: what keeps somebody in one arm of a split name."""

from urllib.parse import unquote

import msgspec
from starlette.types import Scope

from common.registry import Sticky
from server.client.request import RequestHead, conversation_prefix, header

SESSION_HEADER = b"x-session-id"
"""Requests with the same value belong together."""
RATER_HEADER = b"x-rater-id"
"""Whose conversation it is, in UTF-8 and percent-encoded, for what is kept here: unlike `user` of the body it
goes to no provider."""


class _Metadata(msgspec.Struct):
    user_id: str = ""


_metadata = msgspec.json.Decoder(_Metadata)


def identity_of(scope: Scope, head: RequestHead, key_id: str, sticky: Sticky) -> bytes:
    """The user, session or key, else what comes next in that order, else the conversation. The parts of
    different kinds never meet, and users of different keys are different people."""
    found = {
        "user": user_of(head),
        "session": header(scope, SESSION_HEADER) or "",
        "key": "" if key_id == "anonymous" else key_id,
    }
    order: dict[Sticky, tuple[Sticky, ...]] = {
        "user": ("user", "session", "key"),
        "session": ("session",),
        "key": ("key",),
    }
    for kind in order[sticky]:
        if found[kind]:
            return f"{kind}\x00{key_id}\x00{found[kind]}".encode()
    return b"conversation\x00" + conversation_prefix(head)


def rater_of(scope: Scope, head: RequestHead) -> str:
    """Whose conversation it is: what the header says, else the user."""
    return unquote(header(scope, RATER_HEADER) or "") or user_of(head)


def user_of(head: RequestHead) -> str:
    """`user` or `safety_identifier` of OpenAI's API, `metadata.user_id` of Anthropic's."""
    for given in (head.user, head.safety_identifier):
        if isinstance(given, str) and given:
            return given
    try:
        return _metadata.decode(head.metadata).user_id if head.metadata else ""
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
