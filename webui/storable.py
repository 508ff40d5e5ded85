"""Words that a database takes: browsers and models may say others."""

from typing import Any

INSTEAD = "\ufffd"


def storable(words: str) -> str:
    """`words` with U+FFFD in place of half a surrogate pair, which no UTF-8 can say, and of U+0000, which
    PostgreSQL does not take."""
    try:
        words.encode()
    except UnicodeEncodeError:
        words = words.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return words.replace("\0", INSTEAD)


def storable_value(value: Any) -> Any:
    """A value of JSON, all of whose words are so."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [storable_value(one) for one in value]
    if isinstance(value, dict):
        return {storable_value(name): storable_value(one) for name, one in value.items()}
    return value
