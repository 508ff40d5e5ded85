"""JSON as RFC 8259 has it. Python's own reader takes more: `NaN`, numbers beyond every float, halves of
surrogate pairs, UTF-16. Stored, these make a row that no database and no client can read again."""

import msgspec

from common.errors import BadRequest

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some clients' editors write it; RFC 8259 lets readers pass over it."""


def require_json(body: bytes) -> None:
    """Raises BadRequest for a body that is no JSON."""
    try:
        msgspec.json.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from error
