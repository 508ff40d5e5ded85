"""Cross-origin requests of browsers (https://fetch.spec.whatwg.org/#http-cors-protocol) on relayed routes.

FastAPI's routes have Starlette's middleware; the relay writes its own header lines.
"""

from collections.abc import Sequence

EXPOSED = b"x-request-id, retry-after, x-kodolly-overhead-ms"
MAX_AGE_S = 600


def allowed_origin(origin: bytes, origins: Sequence[str]) -> bytes | None:
    """What to allow a page of `origin`: its own name, `*`, or None for nothing."""
    if not origin or not origins:
        return None
    if "*" in origins:
        return b"*"
    return origin if origin.decode("latin-1") in origins else None


def answer_lines(origin: bytes, origins: Sequence[str]) -> bytes:
    """Header lines for an answer to a page of `origin`; b"" when it may not read it."""
    allowed = allowed_origin(origin, origins)
    if allowed is None:
        return b""
    vary = b"" if allowed == b"*" else b"vary: origin\r\n"
    return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\n%b" % (
        allowed,
        EXPOSED,
        vary,
    )


def preflight_lines(origin: bytes, asked_headers: bytes, method: bytes, origins: Sequence[str]) -> bytes:
    """Header lines for the answer to OPTIONS on a route that takes `method`."""
    lines = b"allow: %b, OPTIONS\r\n" % method
    if allowed_origin(origin, origins) is None:
        return lines
    return (
        lines
        + answer_lines(origin, origins)
        + b"access-control-allow-methods: %b\r\naccess-control-allow-headers: %b\r\n"
        b"access-control-max-age: %d\r\n"
        % (method, asked_headers or b"authorization, content-type", MAX_AGE_S)
    )
