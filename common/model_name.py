"""What a model may be called: by a worker, and by an alias."""

import unicodedata

LONGEST = 200
"""In characters."""


def fault_of_name(name: str) -> str | None:
    """What is wrong with a name, in words; None when nothing is."""
    if not name:
        return "it is empty"
    if name != name.strip():
        return "it begins or ends with a space"
    if any(unicodedata.category(char) == "Cc" for char in name):
        return "it holds a line break or another control character"
    if len(name) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    return None
