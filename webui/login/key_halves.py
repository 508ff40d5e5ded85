"""A gateway key cut into two halves: one lies in the browser's cookie, the other in the store.

Either half alone is random bytes, and says nothing of the key but that there is one (two-out-of-two secret
sharing with a one-time pad): who reads the database or a copy of it has no key, and neither has who reads
the cookie. Nothing has to be kept secret beside them, so sessions outlive a restart and work in several
processes.
"""

import secrets

KEY_BYTES = 200
"""All keys are made as long as this, so that not even their length is told."""


def cut(key: str) -> tuple[bytes, bytes]:
    """The two halves of a key. Raises ValueError for one of more than KEY_BYTES bytes or with a NUL."""
    plain = key.encode()
    if len(plain) > KEY_BYTES or b"\0" in plain:
        raise ValueError("no key of a gateway is like this")
    pad = secrets.token_bytes(KEY_BYTES)
    return pad, _mixed(plain.ljust(KEY_BYTES, b"\0"), pad)


def joined(one: bytes, other: bytes) -> str | None:
    """The key of which these are the halves; None for two that do not belong together."""
    if len(one) != KEY_BYTES or len(other) != KEY_BYTES:
        return None
    try:
        return _mixed(one, other).rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        return None


def _mixed(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
