"""The guard in front of every route: it decides from a request's head, before a byte of the body is read.

In this order: Host, Origin and Sec-Fetch-Site where no key is asked for, then the key and what it may do, the
body's announced size and its type. `common.guarded_app` puts it in front of an app; the gateway's relay asks
it by itself.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from starlette.types import Scope

from common.cors import CrossOrigin
from common.doors import Door
from common.errors import BadRequest, PayloadTooLarge, PermissionDenied, UnsupportedMediaType
from common.http import bearer_token
from common.own_hosts import OwnHosts

K = TypeVar("K")
Headers = dict[bytes, bytes]
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SINGLE = frozenset(
    (
        *(b"host", b"origin", b"sec-fetch-site", b"content-type", b"content-encoding"),
        *(b"authorization", b"x-api-key", b"api-key"),
    )
)
"""Headers by which is judged who asks: of two values, one part of the way might read the first and another
the last (RFC 9110, 5.3, allows no second line)."""
_LONGEST_LENGTH = 18
"""Digits of a Content-Length; more are no length of anything."""
_JSON = frozenset(
    (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
)


class Guard(Generic[K]):
    """Who may come in. `K` is what a key becomes: whoever is let in."""

    def __init__(
        self,
        names: OwnHosts,
        cross_origin: CrossOrigin,
        authenticate: Callable[[str, Door], K],
        asks_key: Callable[[], bool],
        body_bytes: int,
        body_s: float,
    ) -> None:
        """`authenticate` takes a token ("" for none) and raises ApiError; `asks_key` tells whether a key is
        needed at all; `body_bytes` and `body_s` are for doors that name none."""
        self.names, self.cross_origin = names, cross_origin
        self._authenticate, self._asks_key = authenticate, asks_key
        self._body_bytes, self._body_s = body_bytes, body_s

    def check(self, scope: Scope, door: Door, headers: Headers | None = None) -> K:
        """Who asks. Raises ApiError for whoever may not, or asks in a way that is not taken. `headers` are
        those of the scope by name, of a repeated one the first, where they are at hand."""
        given = scope["headers"]
        if headers is None:
            headers = dict(reversed(given))
        if len(headers) != len(given):
            _check_single(given)
        if b"host" not in headers and scope["http_version"] != "1.0":
            raise _not_one_host()
        access = door.access
        keyed = access == "admin" or (access != "public" and self._asks_key())
        if not (keyed or door.any_host):
            self._check_page(scope, headers)
        key = self._authenticate(_token(headers), door)
        length = headers.get(b"content-length", b"0")
        if length != b"0" or b"transfer-encoding" in headers:
            limit = self.body_bytes(door)
            if not length.isdigit() or len(length) > _LONGEST_LENGTH or int(length) > limit:
                raise too_large(limit)
            _check_content_type(headers.get(b"content-type", b""), door)
        return key

    def body_bytes(self, door: Door) -> int:
        """Largest body, in bytes."""
        return self._body_bytes if door.body_bytes is None else door.body_bytes

    def body_s(self, door: Door) -> float:
        """Longest time for a body to arrive, in seconds."""
        return self._body_s if door.body_s is None else door.body_s

    def _check_page(self, scope: Scope, headers: Headers) -> None:
        """Where no key is asked for, all that this machine's browsers send is let in: so pages of other sites
        must not be. Raises PermissionDenied."""
        host = headers.get(b"host")
        if host is not None and not self.names.owns(host):
            raise PermissionDenied(
                f"This server is not known as {host.decode('latin-1')!r}.",
                code="host_not_allowed",
                hint="If it is a name of yours, put it into the setting allowed_hosts.",
            )
        if not self._is_welcome(scope, headers, host or b""):
            raise PermissionDenied(
                "Pages of other sites may not ask this server.",
                code="origin_not_allowed",
                hint="If the page is yours, put its origin into the setting cors_origins.",
            )

    def _is_welcome(self, scope: Scope, headers: Headers, host: bytes) -> bool:
        """Whether no page of another site has sent this, as far as browsers tell (Fetch, 3.2 and 3.3; Fetch
        Metadata, 2). What is no browser sends neither header."""
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is None:
            return site != b"cross-site" or _is_navigation(scope, headers) or self.cross_origin.allows_all
        if origin == b"null" and site == b"same-origin":
            return True  # a page of ours without a referrer
        return self._is_own(origin, host) or self.cross_origin.allowed(origin) is not None

    def _is_own(self, origin: bytes, host: bytes) -> bool:
        """Whether the page is this server's: from where it was asked, or under a configured name."""
        try:
            page = urlsplit(origin.decode("latin-1"))
            asked = urlsplit(f"{page.scheme}://{host.decode('latin-1')}")
            default = _DEFAULT_PORTS[page.scheme]
            if page.hostname == asked.hostname and (page.port or default) == (asked.port or default):
                return True
        except (ValueError, KeyError):
            return False
        return self.names.is_configured(page.hostname or "")


def too_large(limit: int) -> PayloadTooLarge:
    """The body has more than `limit` bytes."""
    return PayloadTooLarge(f"The body is too large; at most {limit} bytes are taken.")


def _check_single(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raises BadRequest where a header of `_SINGLE` stands twice."""
    names = [name for name, _ in headers]
    twice = next((name for name in names if name in _SINGLE and names.count(name) > 1), None)
    if twice == b"host":
        raise _not_one_host()
    if twice is not None:
        raise BadRequest(
            f"The header {twice.decode()} stands twice.", code="invalid_http", headers={"connection": "close"}
        )


def _not_one_host() -> BadRequest:
    """RFC 9112, 3.2: else two servers in a row may understand different requests."""
    return BadRequest(
        "A request needs exactly one Host header.", code="invalid_http", headers={"connection": "close"}
    )


def _is_navigation(scope: Scope, headers: Headers) -> bool:
    """A person follows a link, and sees the answer; the page with the link does not."""
    return (
        scope["method"] in ("GET", "HEAD")
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


def _check_content_type(content_type: bytes, door: Door) -> None:
    """A page of any site may send forms, plain text, and what has no type, without asking first
    (Fetch, 2.2.2: CORS-safelisted request headers). Raises UnsupportedMediaType."""
    if content_type in _JSON and door.content != "form":
        return
    kind = content_type.partition(b";")[0].strip().lower()
    is_json = kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))
    is_form = kind == b"multipart/form-data"
    if (is_json and door.content != "form") or (is_form and door.content != "json"):
        return
    wanted = "multipart/form-data" if door.content == "form" else "application/json"
    said = content_type.decode("latin-1")
    raise UnsupportedMediaType(
        f"The body must be {wanted}, not {said}." if said else f"The body's type is missing: {wanted}.",
        hint=f"Send the header `Content-Type: {wanted}`.",
    )


def _token(headers: Headers) -> str:
    """`Authorization: Bearer`, Anthropic's `x-api-key` or Azure's `api-key`; "" when there is none."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        return bearer_token(authorization.decode("latin-1"))
    return (headers.get(b"x-api-key") or headers.get(b"api-key", b"")).decode("latin-1")
