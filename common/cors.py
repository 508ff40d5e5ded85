"""Cross-origin requests of browsers (https://fetch.spec.whatwg.org/#http-cors-protocol): one policy."""

from dataclasses import dataclass

EXPOSED = b"x-request-id, retry-after, x-kodolly-overhead-ms, x-kodolly-checkpoint, x-kodolly-arm"
MAX_AGE_S = 600
HeaderPairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """Which other sites' pages may read answers."""

    origins: tuple[str, ...] = ()
    """Such as https://chat.example.kr; `*` is all."""

    @property
    def allows_all(self) -> bool:
        """Whether pages of every site may."""
        return "*" in self.origins

    def allowed(self, origin: bytes) -> bytes | None:
        """What to allow a page of `origin`: its own name, `*`, or None for nothing."""
        if not origin or not self.origins:
            return None
        if self.allows_all:
            return b"*"
        return origin if origin.decode("latin-1") in self.origins else None

    def answer_headers(self, origin: bytes) -> HeaderPairs:
        """For an answer to a page of `origin`; empty when it may not read it."""
        allowed = self.allowed(origin)
        if allowed is None:
            return []
        headers = [(b"access-control-allow-origin", allowed), (b"access-control-expose-headers", EXPOSED)]
        return headers if allowed == b"*" else [*headers, (b"vary", b"origin")]

    def preflight_headers(self, origin: bytes, asked_headers: bytes, methods: bytes) -> HeaderPairs:
        """For the answer to OPTIONS on a route that takes `methods`."""
        headers = [(b"allow", methods + b", OPTIONS")]
        if self.allowed(origin) is None:
            return headers
        return [
            *headers,
            *self.answer_headers(origin),
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", asked_headers or b"authorization, content-type"),
            (b"access-control-max-age", b"%d" % MAX_AGE_S),
        ]


def header_lines(headers: HeaderPairs) -> bytes:
    """Header lines that end with CRLF."""
    return b"".join(b"%b: %b\r\n" % pair for pair in headers)
