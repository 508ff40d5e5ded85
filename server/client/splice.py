"""Changing single top-level fields of a JSON body and no other byte: unknown fields, number formats, order of
keys and white space reach the engine as the client wrote them."""

import msgspec

from common.errors import BadRequest
from server.client.json_members import Member, Unsound, members


class JsonObject:
    """The text of a valid JSON object whose top-level fields can be changed.

    The fields are looked for once, however many are changed, and not at all while a search for bytes tells
    that none of those asked for is there. Of a repeated name the last one counts, as for parsers. Raises
    BadRequest for an object with more fields than anybody writes.
    """

    __slots__ = (
        "_escaped",
        "_fields",
        "_keys",
        "_members",
        "_new",
        "_removed",
        "_text",
        "_values",
    )

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._escaped = b"\\" in text
        """A name may be there in another spelling."""
        self._members: list[Member] | None = None
        self._fields: dict[str, list[int]] = {}
        """Name -> its members that are left, by number."""
        self._new: dict[str, bytes] = {}
        """Fields that were not there, by name; they come first."""
        self._keys: dict[int, bytes] = {}
        self._values: dict[int, bytes] = {}
        self._removed: set[int] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._new or bool(self._found(name))

    def set(self, name: str, value: object) -> None:
        """Give a field a value. One that is there keeps its place; a new one comes first."""
        encoded = msgspec.json.encode(value)
        found = self._found(name)
        if found:
            self._values[found[-1]] = encoded
        else:
            self._new[name] = encoded

    def rename(self, old: str, new: str) -> None:
        """Call a field otherwise, if it is there; where it is repeated, only the one that counts is left."""
        found = self._found(old)
        if old in self._new:
            self._new[new] = self._new.pop(old)
        elif found:
            last = found.pop()
            self._take_out(found)
            self._keys[last] = msgspec.json.encode(new)
            self._fields.setdefault(new, []).append(last)

    def remove(self, name: str) -> None:
        """Take a field out, if it is there, also where it is repeated."""
        self._new.pop(name, None)
        self._take_out(self._found(name))

    def _take_out(self, found: list[int]) -> None:
        self._removed.update(found)
        for number in found:
            self._keys.pop(number, None)
            self._values.pop(number, None)
        found.clear()

    def text(self) -> bytes:
        """The object with all changes."""
        changes: list[tuple[int, int, bytes]] = []
        if self._members is not None:
            changes += [(*self._span(at, key=True), key) for at, key in self._keys.items()]
            changes += [(*self._span(at, key=False), value) for at, value in self._values.items()]
            changes += [(start, end, b"") for start, end in self._cuts()]
        if self._new:
            start = self._text.index(b"{") + 1
            comma = b"" if self._is_empty() else b","
            new = b",".join([msgspec.json.encode(name) + b":" + value for name, value in self._new.items()])
            changes.append((start, start, new + comma))
        if not changes:
            return self._text
        parts: list[bytes] = []
        at = 0
        for start, end, new in sorted(changes):
            parts += (self._text[at:start], new)
            at = end
        return b"".join([*parts, self._text[at:]])

    def _found(self, name: str) -> list[int]:
        """The members called `name`, by number."""
        if self._members is None and not self._escaped and b'"' + name.encode() + b'"' not in self._text:
            return []
        if self._members is None:
            self._look()
        return self._fields.get(name, [])

    def _look(self) -> None:
        try:
            self._members = [member for member in members(self._text) if member is not None]
        except Unsound as error:
            raise BadRequest(str(error), code="invalid_json") from error
        for number, member in enumerate(self._members):
            name = field_name(self._text[member.key : member.key_end])
            if name is not None:
                self._fields.setdefault(name, []).append(number)

    def _span(self, number: int, *, key: bool) -> tuple[int, int]:
        member = (self._members or [])[number]
        return (member.key, member.key_end) if key else (member.value, member.value_end)

    def _cuts(self) -> list[tuple[int, int]]:
        """What goes with the members that were taken out: each with a comma, unless it was the only one."""
        all_members = self._members or []
        kept = max((n for n in range(len(all_members)) if n not in self._removed), default=-1)
        cuts = [(all_members[n].key, all_members[n + 1].key) for n in self._removed if n < kept]
        if kept < len(all_members) - 1:
            start = all_members[kept].value_end if kept >= 0 else all_members[0].key
            cuts.append((start, all_members[-1].value_end))
        return cuts

    def _is_empty(self) -> bool:
        if self._members is not None:
            return len(self._members) == len(self._removed)
        return self._text[self._text.index(b"{") + 1 :].lstrip()[:1] == b"}"


def field_name(key: bytes) -> str | None:
    """A name out of its quotes; None for one that is no text."""
    try:
        return msgspec.json.decode(key, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
