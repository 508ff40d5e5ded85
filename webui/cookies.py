"""Cookies of ours among those of others."""

from starlette.requests import cookie_parser


def cookie_in(header: str | None, name: str) -> str | None:
    """A cookie in the Cookie header of a request. Browsers send those of all programs at one host, whatever
    its port, in one header: one of another's, of whatever form, hides none of ours. The standard library's
    parser takes nothing at all of such a header.
    """
    return cookie_parser(header or "").get(name)
