"""How many values a JSON body holds. Making objects of them takes the time, and holds the event loop: four
megabytes of `1,` are two million."""

MOST_VALUES = 50_000
"""Making so many takes some milliseconds. No form of a page and no conversation comes near."""
_SIGNS = (b",", b"[", b"{")
"""Each value but the first stands behind one of these."""


def has_too_many_values(body: bytes) -> bool:
    """Whether the body, if it is JSON, holds more than MOST_VALUES values. Signs in texts are none."""
    if _signs(body) <= MOST_VALUES:
        return False
    marks = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if marks.count(b'"') > 4 * MOST_VALUES:  # a value may have a name, and each of both two quotation marks
        return True
    return _signs(b"".join(marks.split(b'"')[::2])) > MOST_VALUES


def _signs(text: bytes) -> int:
    return sum(map(text.count, _SIGNS))
