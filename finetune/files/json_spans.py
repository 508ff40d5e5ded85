"""JSON files of any size cut into their records without decoding them, so that all cores can share the
decoding. The records are the objects of an array, of the array under an object's `data` (KorQuAD, SQuAD), or
objects one after the other."""

import re
from collections.abc import Iterable, Iterator

from common.errors import UserError

LONGEST_RECORD = 256_000_000
"""Bytes after which a record is taken for a file whose quotes or brackets don't match."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(rb'\{(?:[^"{}\[\]]++|' + _STRING + rb")*+\}|" + _STRING + rb'|[\[\]{}"]', re.DOTALL)
"""A whole object without objects or arrays inside (most rows are one), a string, a bracket, or the quotation
mark of a string that does not end in this block."""

JsonSpan = tuple[int, bytes]
"""The number of the line in which a record begins, and the record's bytes."""


def json_spans(blocks: Iterable[bytes], name: str) -> Iterator[JsonSpan]:
    """Yield the records of the JSON text that the blocks make up, in UTF-8 or CP949.

    Only brackets and quotation marks are looked at; whether a record is valid JSON shows when it is decoded.
    Raises UserError, with `name` and the line, when the text ends inside a record or its array.
    """
    cutter = _Cutter(name)
    for block in blocks:
        yield from cutter.feed(block)
    cutter.finish()


class _Cutter:
    """The state of the scan between two blocks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = b""
        self.line = 1  # the line number at text[counted]
        self.counted = 0
        self.place = 0  # where in text the next token is looked for
        self.depth = 0
        self.level = 0  # the depth at which records stand
        self.start: int | None = None  # where in text the open record begins
        self.key = b""  # the last string at depth 1: the key of an array that begins there
        self.open_string = False

    def feed(self, block: bytes) -> Iterator[JsonSpan]:
        self.text += block
        self.open_string = False
        for match in _TOKEN.finditer(self.text, self.place):
            token = self.text[match.start() : match.start() + 1]
            begin, end = match.span()
            if token == b'"' and end - begin == 1:
                self.place, self.open_string = begin, True
                break
            self.place = end
            if token == b"{" and end - begin > 1:
                if self.depth != self.level:
                    continue
            elif token in b"{[":
                self._open(token, begin)
                continue
            elif token in b"}]":
                self.depth -= 1
                if self.depth < 0:
                    raise self._error(begin, "a closing bracket too many")
                if self.depth < self.level:
                    self.level = -1  # after the array: no records until the next value
                if self.depth == 0 and self.level < 0:
                    self.level = 0
                    continue
                if self.depth != self.level or self.start is None:
                    continue
                begin, self.start = self.start, None
            else:
                if self.depth == 1:
                    self.key = match.group()
                if self.depth != self.level:
                    continue
            yield self._line_of(begin), self.text[begin:end]
        else:
            if self.start is None:
                self.place = len(self.text)
        self._drop_what_is_cut()

    def _open(self, bracket: bytes, begin: int) -> None:
        if self.depth == 0 and bracket == b"[" and self.level == 0:
            self.level = 1
        elif self.depth == 1 and bracket == b"[" and self.level == 0 and self.key == b'"data"':
            self.level, self.start = 2, None
        elif self.depth == self.level:
            self.start = begin
        self.depth += 1

    def _drop_what_is_cut(self) -> None:
        keep = self.place if self.start is None else self.start
        self._line_of(keep)
        self.text = self.text[keep:]
        self.place -= keep
        self.counted = 0
        if self.start is not None:
            self.start = 0
        if len(self.text) > LONGEST_RECORD:
            raise self._error(0, f"a record of more than {LONGEST_RECORD // 1_000_000} MB begins here")

    def finish(self) -> None:
        if self.start is not None or self.open_string:
            raise self._error(0, "the file ends within the record that begins here")
        if self.depth:
            raise self._error(len(self.text), "the file ends before its array does")

    def _line_of(self, place: int) -> int:
        """The line number at `place` in text. Places must be asked for in ascending order."""
        self.line += self.text.count(b"\n", self.counted, place)
        self.counted = place
        return self.line

    def _error(self, place: int, what: str) -> UserError:
        line = self._line_of(place)
        hint = "A quotation mark or bracket is missing, or the file was cut off (a download that broke?)."
        return UserError(f"{self.name}, line {line}: {what}.", hint=hint)
