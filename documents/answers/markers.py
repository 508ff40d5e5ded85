"""Markers such as [1] in an answer: those that name no passage are taken out, also while it streams."""

import re

_NUMBERS = r"\[\s*\d{1,4}(?:\s*[,、~–-]\s*\d{1,4})*\s*\]"
MARKER = re.compile(_NUMBERS)
_IN_PLACE = re.compile(rf"[ \t]{{0,8}}{_NUMBERS}")
_BEGUN = r"(?:\[[\d\s,、~–-]{0,40}+)"
_MAY_BE_BEGUN = re.compile(rf"[ \t]{{0,8}}+{_BEGUN}{{0,16}}+$")
_ARE_BEGUN = re.compile(rf"[ \t]{{0,8}}+{_BEGUN}{{1,16}}+$")
_FENCE = "```"


def numbers_of(marker: str) -> list[int]:
    """The numbers in a marker."""
    return [int(number) for number in re.findall(r"\d+", marker)]


class MarkerFilter:
    """The text of one answer, piece by piece."""

    def __init__(self, passages: int) -> None:
        """Markers may name 1 to `passages`."""
        self._passages = passages
        self._held = ""
        self._fences = 0
        self._tail = ""
        """The end of what went out, which may be the beginning of a code fence."""

    def feed(self, piece: str) -> str:
        """What may go out now: all but an end that may still become a marker.

        What is taken out of [1[9]] must not make a marker of what stands around it: that is looked at again.
        """
        text, self._held = self._held + piece, ""
        made: list[str] = []
        at, kept = 0, ""
        for match in _IN_PLACE.finditer(text):
            head, begun = _split(self._joined(made, kept, text[at : match.start()]), _ARE_BEGUN)
            at, kept = match.end(), ""
            self._pass(head)
            made.append(head)
            good = match[0] if self._fences % 2 else self._allowed(match[0])
            if begun and good != match[0]:
                kept = begun + good
            else:
                self._pass(begun)
                made += begun, good
        rest, self._held = _split(self._joined(made, kept, text[at:]), _MAY_BE_BEGUN)
        self._pass(rest)
        return "".join([*made, rest])

    def end(self) -> str:
        """What was held back; the answer is over."""
        text, self._held = self._held, ""
        return text

    def _joined(self, made: list[str], kept: str, text: str) -> str:
        """What is still to be passed on of `kept`, beginnings of markers, and `text`, which ends them."""
        if not kept:
            return text
        text = kept + text
        while (match := _IN_PLACE.search(text)) is not None:
            good = self._allowed(match[0])
            if good == match[0]:
                self._pass(text[: match.start()])
                made.append(text[: match.end()])
                text = text[match.end() :]
            else:
                text = text[: match.start()] + good + text[match.end() :]
        return text

    def _pass(self, text: str) -> None:
        """Keeps track of code fences, inside of which [0] is an index."""
        seen = self._tail + text
        self._fences += seen.count(_FENCE)
        ticks = len(seen) - len(seen.rstrip("`"))
        self._tail = "`" * (ticks % len(_FENCE))

    def _allowed(self, found: str) -> str:
        """The marker with only those numbers that name a passage; where none does, nothing, not even the
        space before it."""
        marker = found.lstrip(" \t")
        numbers = numbers_of(marker)
        good = [number for number in numbers if 1 <= number <= self._passages]
        if len(good) == len(numbers):
            return found
        if not good:
            return ""
        kept = ", ".join(map(str, good))
        return f"{found[: len(found) - len(marker)]}[{kept}]"


def _split(text: str, begun: re.Pattern[str]) -> tuple[str, str]:
    """(All before, the beginnings of markers that `text` ends with)."""
    found = begun.search(text)
    at = found.start() if found is not None else len(text)
    return text[:at], text[at:]
