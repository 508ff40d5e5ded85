"""Settings as they may be shown to people, who paste them into bug reports."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from common.redact import HIDDEN, is_secret_name, redacted_url


def displayed(value: Any) -> Any:
    """`value` of a setting with the secrets in its URLs, headers and flags hidden, however deep they lie."""
    if isinstance(value, str):
        return redacted_url(value)
    if isinstance(value, BaseModel):
        return value.model_copy(
            update={name: displayed(getattr(value, name)) for name in type(value).model_fields}
        )
    if isinstance(value, dict):
        return {
            name: HIDDEN if isinstance(item, str) and is_secret_name(str(name)) else displayed(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_words(value))
    return value


def _words(items: Sequence[Any]) -> list[Any]:
    """Items of a list; in a command line (`--api-key=K`, `--api-key K`) a flag's name says what is secret."""
    shown, secret = [], False
    for item in items:
        flag, equals, _ = item.partition("=") if isinstance(item, str) else ("", "", "")
        named = flag.startswith("-") and is_secret_name(flag)
        if secret and isinstance(item, str):
            shown.append(HIDDEN)
        else:
            shown.append(f"{flag}={HIDDEN}" if named and equals else displayed(item))
        secret = named and not equals
    return shown
