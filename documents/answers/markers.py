"""Markers such as [1] in an answer: those that name no passage are taken out, also while it streams."""

import re

_NUMBERS = r"\[\s*\d{1,4}(?:\s*[,、~–-]\s*\d{1,4})*\s*\]"
MARKER = re.compile(_NUMBERS)
_IN_PLACE = re.compile(rf"[ \t]{{0,8}}{_NUMBERS}")
_MAY_BE_BEGUN = re.compile(r"[ \t]{0,8}(?:\[[\d\s,、~–-]{0,40})?$")
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
        """What may go out now: all but an end that may still become a marker."""
        text = self._held + piece
        begun = _MAY_BE_BEGUN.search(text)
        at = begun.start() if begun is not None else len(text)
        self._held = text[at:]
        return self._cleaned(text[:at])

    def end(self) -> str:
        """What was held back; the answer is over."""
        text, self._held = self._held, ""
        return self._cleaned(text)

    def _cleaned(self, text: str) -> str:
        made, at = [], 0
        for match in _IN_PLACE.finditer(text):
            made.append(self._passed(text[at : match.start()]))
            made.append(match[0] if self._fences % 2 else self._allowed(match[0]))
            at = match.end()
        made.append(self._passed(text[at:]))
        return "".join(made)

    def _passed(self, text: str) -> str:
        """Keeps track of code fences, inside of which [0] is an index."""
        seen = self._tail + text
        self._fences += seen.count(_FENCE)
        ticks = len(seen) - len(seen.rstrip("`"))
        self._tail = "`" * (ticks % len(_FENCE))
        return text

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
