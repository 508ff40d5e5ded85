"""A large JSON body without its bulk, so that what is done to requests costs the same for all of them.

Everything that reads or changes a body (`request.parse_head`, `splice`, `outbound`) sees a small one in
which each long stretch is a stand-in; `whole` puts the stretches back. The body is walked through once, in
steps that let other requests run: one of 16 MB with millions of values takes seconds of CPU.
"""

import re
import secrets

import msgspec

from common.errors import BadRequest
from common.turns import Turns
from server.client.json_members import BLANK, Member, Unsound, members
from server.client.part_uuid import may_name_files, names_files, names_files_in
from server.client.request import FIRST_MESSAGES, PREFIX_BYTES, RequestHead, parse_head
from server.client.splice import field_name

LARGE_BYTES = 64 * 1024
"""A body from here on is thinned out; a smaller one is read in a few milliseconds."""
CHECKED_BYTES = 1024 * 1024
"""Up to here it is checked whether a body is JSON, in milliseconds; beyond, the engine sees what is wrong."""
KEPT_BYTES = 256
"""A shorter stretch stays."""
MODEL_BYTES = 1024
"""The longest name of a model that is looked for, as it stands in the body."""
MOST_FIELDS = 100
"""So many fields with other names than those that the gateway reads are told apart; requests have some 20."""
NAME_BYTES = 256
"""A longer name is none that anything here asks for."""
GAP_BYTES = 256 * 1024
"""How much white space may stand between the parts of a body, beside its values."""
FIRST_STEPS = 1000
BEGINNING_BYTES = 4 * 1024 * 1024
"""In so many brackets and bytes must a conversation's first messages have ended to be looked at."""
_SECRET = secrets.token_hex(16).encode()
"""No client can write a stand-in of ours."""
_STAND_IN = re.compile(rb'"%b-(\d{1,9})"(?::0)?' % _SECRET)
_LEADING = re.compile(rb"[{,\s]*+")
_MARK = re.compile(rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+([{}\[\]])', re.DOTALL)
_READ = frozenset(RequestHead.__struct_fields__)


class ThinBody(msgspec.Struct, frozen=True):
    """A body in which stand-ins take the place of long stretches."""

    body: bytes
    head: RequestHead
    names_files: bool = False
    """See `part_uuid`."""
    stretches: tuple[bytes, ...] = ()
    """What the stand-ins stand for, by their numbers."""

    def whole(self, body: bytes) -> bytes:
        """`body`, which was made of ours, with the stretches put back."""
        if not self.stretches:
            return body
        return _STAND_IN.sub(lambda found: self.stretches[int(found[1])], body)


def small(body: bytes) -> ThinBody:
    """A body of at most LARGE_BYTES as it is. Raises BadRequest for what is no request."""
    head = parse_head(body)
    if len(head.model) > MODEL_BYTES:
        raise _name_too_long()
    named = may_name_files(body) and (names_files(head.messages) or names_files(head.input))
    return ThinBody(body, head, named)


async def thinned(body: bytes) -> ThinBody:
    """What the relay works with in place of `body`. Raises BadRequest for what is no request."""
    if len(body) <= LARGE_BYTES:
        return small(body)
    if len(body) <= CHECKED_BYTES and not is_json(body):
        raise BadRequest(str(Unsound()), code="invalid_json")
    turns = Turns()
    try:
        fields = await _fields(body, turns)
        await turns.give_way()
        named = await names_files_in(body, fields, turns)
        thin = _thin(body, fields, named)
        await turns.give_way()
        return thin
    except Unsound as error:
        raise BadRequest(str(error), code="invalid_json") from error


async def _fields(body: bytes, turns: Turns) -> dict[str, Member]:
    """The top-level fields, the last one of each name."""
    found: dict[str, Member] = {}
    for member in members(body):
        if member is not None and member.key_end - member.key <= NAME_BYTES:
            name = field_name(body[member.key : member.key_end])
            if name is not None and (name in _READ or name in found or len(found) < MOST_FIELDS):
                found[name] = member
        if turns.due():
            await turns.give_way()
    return found


def is_json(body: bytes) -> bool:
    """Whether this is JSON, without making objects of it: some milliseconds a megabyte."""
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _thin(body: bytes, fields: dict[str, Member], named: bool) -> ThinBody:
    parts: list[bytes] = []
    stretches: list[bytes] = []
    at = 0

    def put(stretch: bytes, form: bytes) -> None:
        if len(stretch) <= KEPT_BYTES:
            parts.append(stretch)
            return
        parts.append(form % (b"%b-%d" % (_SECRET, len(stretches))))
        stretches.append(stretch)

    def put_members(start: int, end: int) -> None:
        """What lies between two fields, its outer commas and braces staying."""
        first = min(end, _LEADING.match(body, start).end())  # type: ignore[union-attr]
        inner = body[first:end].rstrip(BLANK)
        inner = inner.removesuffix(b"}" if end == len(body) else b",").rstrip(BLANK)
        parts.append(body[start:first])
        put(inner, b'"%b":0')
        parts.append(body[first + len(inner) : end])

    for name, field in sorted(fields.items(), key=lambda found: found[1].key):
        put_members(at, field.key)
        parts.append(body[field.key : field.value])
        value = body[field.value : field.value_end]
        if name != "model":
            put(value, b'"%b"')
        elif len(value) <= MODEL_BYTES:
            parts.append(value)
        else:
            raise _name_too_long()
        at = field.value_end
    put_members(at, len(body))
    small = b"".join(parts)
    if len(small) > len(fields) * (NAME_BYTES + 2 * KEPT_BYTES) + MODEL_BYTES + GAP_BYTES:
        raise BadRequest("The body has too much white space between its fields.", code="invalid_json")
    return ThinBody(small, _head(small, body, fields), named, tuple(stretches))


def _head(small: bytes, body: bytes, fields: dict[str, Member]) -> RequestHead:
    """Read from the thin body, but for what tells a conversation from others."""
    head = parse_head(small)
    for name in ("messages", "prompt"):
        if name in fields:
            setattr(head, name, msgspec.Raw(_beginning(body, fields[name], name)))
    return head


def _beginning(body: bytes, field: Member, name: str) -> bytes:
    """As much of a conversation as tells it from others (see `request.conversation_prefix`)."""
    if name == "prompt":
        return body[field.value : min(field.value_end, field.value + PREFIX_BYTES)]
    depth = ends = 0
    at, end = field.value, min(field.value_end, field.value + BEGINNING_BYTES)
    for _ in range(FIRST_STEPS):
        found = _MARK.match(body, at, end)
        if found is None:
            break
        at = found.end()
        depth += 1 if found[1] in b"{[" else -1
        ends += depth == 1 and found[1] in b"}]"
        if ends == FIRST_MESSAGES or not depth:
            return body[field.value : at] + (b"]" if depth else b"")
    return b""


def _name_too_long() -> BadRequest:
    return BadRequest("model: the name is too long.", param="model", code="invalid_value")
