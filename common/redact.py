"""Passwords, tokens and keys in URLs are hidden before anybody reads them: in messages, logs and listings."""

import re
from urllib.parse import unquote_plus

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"(?:password|passwd|passphrase|pwd|secret|token|apikeys?|accesskey|signature|credentials?|authorization"
    r"|cookie|jwt|(?:^|[^a-z])(?:pass|keys?|sig|code|auth))$"
)
_PARAMETER = re.compile(r"([?&;#])([^?&;#=\s]{1,200})=([^&]*)")
_URL = re.compile(r"://\S+")


def is_secret_name(name: str) -> bool:
    """Whether a parameter, header or flag of this name holds a secret: `sslpassword`, `X-Api-Key`, `sig`."""
    return _SECRET_NAME.search(name.lower()) is not None


def redacted_url(url: str) -> str:
    """`url` without its user, its password and the values of secret query parameters; never raises.

    Everything up to the last `@` is hidden: a password in which / ? # @ were not percent-encoded must not
    show either, though the host may then be lost with it. Without `://`, as proxies are written, only
    `user:password@` counts.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    user, at, place = rest.rpartition("@")
    if at and (":" in user or (separator and re.search("[/?#]", user) is None)):
        rest = f"{HIDDEN}@{place}"
    return scheme + separator + _PARAMETER.sub(_parameter, rest)


def redacted_text(text: str) -> str:
    """`text` with every URL in it as `redacted_url` gives it. A URL ends where white space begins."""
    return _URL.sub(lambda found: redacted_url(found[0]), text) if "://" in text else text


def _parameter(found: re.Match[str]) -> str:
    start, name, _value = found.groups()
    return f"{start}{name}={HIDDEN}" if is_secret_name(unquote_plus(name)) else found[0]
